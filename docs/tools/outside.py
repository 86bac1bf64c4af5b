"""A hook of MkDocs: what pages link to elsewhere in the repository comes along, under repository/ in the site.

On the forge such a link works as it stands; in the site it would lead nowhere. Pages (.md) come as pages, out of
the navigation, and their own links are followed likewise.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = "repository"

LINK = re.compile(r"(?<=\]\()(?P<path>[^)\s#:]+)(?=[#)])")
"""The path of a Markdown link within the repository, without its anchor."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    waiting = [f"docs/{file.src_uri}" for file in files.documentation_pages()]
    seen = set(waiting)
    while waiting:
        source = waiting.pop()
        for target in _targets(source):
            if target in seen or target.startswith("docs/") or not (REPOSITORY / target).is_file():
                continue
            seen.add(target)
            files.append(_file(target, config))
            if target.endswith(".md"):
                waiting.append(target)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links out of docs/, and links in what came along, lead to where the files are in the site."""
    here = page.file.src_uri
    came_along = here.startswith(f"{FOLDER}/")
    source = here.removeprefix(f"{FOLDER}/") if came_along else f"docs/{here}"

    def moved(link: re.Match[str]) -> str:
        target = _resolved(source, link["path"])
        inside = target.startswith("docs/")
        if inside and not came_along:
            return link["path"]
        there = target.removeprefix("docs/") if inside else f"{FOLDER}/{target}"
        return posixpath.relpath(there, posixpath.dirname(here) or ".")

    return LINK.sub(moved, markdown)


def _targets(source: str) -> list[str]:
    text = (REPOSITORY / source).read_text()
    return [_resolved(source, link["path"]) for link in LINK.finditer(text)]


def _resolved(source: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), path))


def _file(target: str, config: MkDocsConfig) -> File:
    return File.generated(
        config,
        f"{FOLDER}/{target}",
        content=(REPOSITORY / target).read_bytes(),
        inclusion=InclusionLevel.NOT_IN_NAV,
    )
