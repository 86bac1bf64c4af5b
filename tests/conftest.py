"""Which tests run beside each other: `make test` has a worker for the soak, one for the network tests, which mostly
wait too, and one for the others. Alone, in one process, they run one after the other.
"""

from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_ORDER = ("soak", "network", "binary", "kubernetes", "chart", "simulation", "unit", "cluster")
"""The longest first. A worker has two of these from the start, and then takes the next one: kubernetes follows the
soak."""


def _part(item: pytest.Item) -> str:
    return "soak" if item.get_closest_marker("soak") else item.path.relative_to(_HERE).parts[0]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _ORDER.index(_part(item)))
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_part(item)))
