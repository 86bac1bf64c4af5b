from collections.abc import Iterator

import pytest

from tests.support.cluster import Cluster
from tests.support.tap import Tap


@pytest.fixture(scope="module")
def tap(cluster: Cluster) -> Iterator[Tap]:
    """One more machine on the switch of the module's cluster."""
    with Tap(cluster.lab.node("stranger")) as tap:
        yield tap
