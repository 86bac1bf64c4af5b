"""Every command of the manual is run by a test, or its title says that it is not, and why."""

import importlib

from tests.support.manual.page import SOURCE, Block, blocks, claimed, pages

NOT_RUN = {
    "on OpenBSD": "there is no OpenBSD here",
    "on FreeBSD": "there is no FreeBSD here",
    "with Docker": "there is no Docker here: tests/binary/test_image.py runs the same under containerd",
    "with a registry": "there is no image of Python in the one that tests run here",
}
"""By the block's title. What can be checked of them is checked in tests/docs/test_bsd_peers.py and
tests/binary/test_manual.py. Stand-ins, for DRBD and systemd in the lab, are in tests/docs/stand_ins.py."""


def import_claimants() -> None:
    for path in sorted((SOURCE / "tests").rglob("test_*.py")):
        if "import claim" in path.read_text() or ", claim" in path.read_text():
            importlib.import_module(".".join(path.relative_to(SOURCE).with_suffix("").parts))


def commands() -> list[Block]:
    return [block for page in pages() for block in blocks(page) if block.is_command]


def is_marked(block: Block) -> bool:
    return block.title in NOT_RUN or block.is_marked


def test_every_command_is_run_by_a_test() -> None:
    import_claimants()
    unclaimed = [block for block in commands() if not is_marked(block) and block not in claimed()]
    listed = "\n".join(str(block) for block in unclaimed)
    assert not unclaimed, f"no test runs these (how to claim them: tests/support/manual/page.py):\n{listed}"


def test_what_is_not_run_is_in_the_manual() -> None:
    titles = {block.title for block in commands()}
    assert titles >= NOT_RUN.keys()
