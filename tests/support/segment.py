"""Fixtures, for a conftest to import: a lab for each test, two nodes in it, and a tap on the wire between them."""

from collections.abc import Iterator

import pytest

from carpsidecar.lab.namespace import has_privileges
from carpsidecar.lab.network import Lab
from carpsidecar.lab.node import Node
from tests.support.tap import Tap


@pytest.fixture
def lab() -> Iterator[Lab]:
    if not has_privileges():
        pytest.skip("needs network namespaces: run `sudo make test`")
    with Lab() as lab:
        yield lab


@pytest.fixture
def node(lab: Lab) -> Node:
    """The node where the command under test runs."""
    return lab.node("node")


@pytest.fixture
def peer(lab: Lab, node: Node) -> Node:
    """Another machine on the segment."""
    return lab.node("peer")


@pytest.fixture
def tap(peer: Node) -> Iterator[Tap]:
    """What the peer hears."""
    with Tap(peer) as tap:
        yield tap
