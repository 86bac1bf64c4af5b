"""What a reader must replace, a registry that leads nowhere and an owner on GitHub, fails as it stands."""

import os
import re
import subprocess

import pytest

from carpsidecar import __version__
from docs.tools.registry import EXAMPLE, NOTE
from tests.support.manual.page import SOURCE, blocks, not_run, pages

TEXTS = {page: " ".join((SOURCE / page).read_text().split()) for page in pages()}
USERS = [page for page, text in TEXTS.items() if EXAMPLE in text]
VERSION = re.compile(rf"{EXAMPLE}/\S+?:([\w.]+)|(?:targetRevision|newTag|tag): (\S+)|--version (\S+)")


@pytest.mark.parametrize("page", USERS)
def test_what_it_stands_for_is_said_once_before_it_is_used(page: str) -> None:
    before, _, behind = TEXTS[page].partition(NOTE)
    assert EXAMPLE not in before
    assert NOTE not in behind
    assert EXAMPLE in behind


def test_the_version_is_this_one() -> None:
    found = {version for page in USERS for pair in VERSION.findall(TEXTS[page]) for version in pair if version}
    assert found == {__version__}


def test_no_other_placeholder_is_typed() -> None:
    """`ghcr.io/OWNER` would be a stranger's: names there are taken in any case."""
    typed = [block for page in pages() for block in blocks(page)]
    assert not [str(block) for block in typed if re.search(r"[/:= ]OWNER\b|[/:]VERSION\b", block.text)]


def test_without_an_owner_nothing_is_verified() -> None:
    verify = not_run("docs/install.md", "cosign verify")
    without = {name: value for name, value in os.environ.items() if name != "OWNER"}
    # Each command for itself, as somebody types it.
    for command in verify.text.replace("\\\n", "").splitlines()[:2]:
        done = subprocess.run(["sh", "-c", command], env=without, capture_output=True, text=True, check=False)
        assert "OWNER" in done.stderr
        assert "not found" not in done.stderr
