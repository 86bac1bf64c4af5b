"""A hook of MkDocs: where REGISTRY says which registry has the release, the manual's commands name that one.

Pages are written with a name that leads nowhere (RFC 2606), under a note that says what it stands for: a command
typed as it stands fails, and never asks a stranger's registry.
"""

import os
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

EXAMPLE = "registry.example.com/carp"
NOTE = (
    f"*`{EXAMPLE}` stands for the registry that has the release: `ghcr.io/` and the owner of the repository,"
    " in lower case, or yours, where `make publish` has put it.*"
)
_NOTE = re.compile(re.escape(NOTE).replace(r"\ ", r"\s+") + r"\n*")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    registry = os.environ.get("REGISTRY", "")
    return _NOTE.sub("", markdown).replace(EXAMPLE, registry) if registry else markdown
