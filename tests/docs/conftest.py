"""The lab, where this machine may have one."""

from collections.abc import Iterator

import pytest

from carpsidecar.lab.namespace import has_privileges
from carpsidecar.lab.network import Lab


@pytest.fixture
def lab() -> Iterator[Lab]:
    if not has_privileges():
        pytest.skip("needs network namespaces: run `sudo make test`")
    with Lab() as lab:
        yield lab
