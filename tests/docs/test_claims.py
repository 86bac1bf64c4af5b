"""Every command of the manual is run by a test, or a line below it says to readers that it is not, and why."""

import importlib

import pytest

from carpsidecar.cli import COMMANDS
from tests.support.manual.page import SOURCE, Block, blocks, claimed, marks, pages

PAGES = [*pages(), "CONTRIBUTING.md", "charts/carpsidecar/README.md"]


def import_claimants() -> None:
    for path in sorted((SOURCE / "tests").rglob("test_*.py")):
        if "import claim" in path.read_text() or ", claim" in path.read_text():
            importlib.import_module(".".join(path.relative_to(SOURCE).with_suffix("").parts))


def commands() -> list[Block]:
    return [block for page in PAGES for block in blocks(page) if block.is_command]


def test_every_command_is_run_by_a_test() -> None:
    import_claimants()
    unclaimed = [block for block in commands() if not block.not_run and block not in claimed()]
    listed = "\n".join(str(block) for block in unclaimed)
    assert not unclaimed, f"no test runs these (how to claim or mark them: tests/support/manual/page.py):\n{listed}"


@pytest.mark.parametrize("page", PAGES)
def test_a_mark_stands_below_a_command(page: str) -> None:
    assert marks(page) == sum(block.is_command and bool(block.not_run) for block in blocks(page))


@pytest.mark.parametrize("page", PAGES)
def test_no_command_passes_for_something_else(page: str) -> None:
    beginnings = tuple(f"carpsidecar {command} " for command in COMMANDS)
    disguised = [
        str(block)
        for block in blocks(page)
        if not block.is_command and any(line.startswith(beginnings) for line in block.text.splitlines())
    ]
    assert not disguised
