"""Which tests run beside each other: `make test` has three workers, since most tests wait rather than work. In one
process they run one after the other.
"""

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

from tests.support.signals import unignore
from tests.support.unprivileged import open_folder

__all__ = ["open_folder"]

_LONGEST_FIRST = (
    "soak",
    "network/process",
    "simulation",
    "network/engine",
    "network/interop",
    "kubernetes",
    "binary",
    "network/lab",
    "unit",
)
"""A worker has two of these from the start, and then takes the next one; the others, which are short, come last and
fill the gaps."""

unignore()


def _part(nodeid: str) -> str:
    """The folder under tests/; but the soak has minutes of its own, and the network tests' folders and the manual's
    files need not wait for each other."""
    if nodeid.startswith("tests/network/soak/test_soak.py"):
        return "soak"
    folder, *rest = nodeid.partition("::")[0].removeprefix("tests/").split("/")
    return f"{folder}/{rest[0]}" if folder in ("network", "docs") else folder


def _rank(item: pytest.Item) -> int:
    part = _part(item.nodeid)
    return _LONGEST_FIRST.index(part) if part in _LONGEST_FIRST else len(_LONGEST_FIRST)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_rank)


class _PartByPart(LoadScopeScheduling):  # type: ignore[misc]
    """All tests of a part run in one worker."""

    def _split_scope(self, nodeid: str) -> str:
        return _part(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    return _PartByPart(config, log)
