"""Which tests run beside each other: `make test` has a worker for the soak, one for the network tests, which mostly
wait too, and one for the others. Alone, in one process, they run one after the other.
"""

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

_ORDER = ("soak", "network", "binary", "kubernetes", "chart", "simulation", "unit", "docs", "cluster")
"""The longest first. A worker has two of these from the start, and then takes the next one: kubernetes follows the
soak."""


def _part(nodeid: str) -> str:
    """The folder under tests/, but for the soak, which has minutes of its own."""
    return "soak" if nodeid.startswith("tests/network/soak/test_soak.py") else nodeid.split("/")[1]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _ORDER.index(_part(item.nodeid)))


class _PartByPart(LoadScopeScheduling):  # type: ignore[misc]
    """All tests of a part run in one worker; but the manual's pages, which mostly wait, fill the gaps."""

    def _split_scope(self, nodeid: str) -> str:
        part = _part(nodeid)
        return nodeid.partition("::")[0] if part == "docs" else part


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    return _PartByPart(config, log)
