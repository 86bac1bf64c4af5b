"""What is in this folder needs network namespaces; without the right to make them it is left out, and says so."""

from pathlib import Path

import pytest

from carpsidecar.lab.namespace import has_privileges

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    left_out = pytest.mark.skip(reason="needs network namespaces: run `sudo make test`")
    allowed = has_privileges()
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.network)
            if not allowed:
                item.add_marker(left_out)
