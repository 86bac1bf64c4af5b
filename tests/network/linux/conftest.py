"""Two nodes and a cable, for all tests of a file; a file whose tests change them has its own."""

from collections.abc import Iterator

import pytest

from tests.network.linux.helpers import Node, two_nodes


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[Node, Node]]:
    with two_nodes() as pair:
        yield pair
