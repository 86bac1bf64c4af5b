"""The order of the nodes that needs no configuration."""

from collections import Counter
from ipaddress import ip_address

import pytest

from carpsidecar.engine.settings import advskew_of


@pytest.mark.parametrize("nodes", [2, 3, 4, 5])
@pytest.mark.parametrize("first", [1, 11, 12, 101, 200])
def test_groups_spread_over_the_nodes(nodes: int, first: int) -> None:
    addresses = [ip_address(f"192.0.2.{first + number}") for number in range(nodes)]
    for first_vhid in (1, 42, 100, 200):
        for groups in (nodes, 2 * nodes, 10):
            vhids = range(first_vhid, first_vhid + groups)
            preferred = Counter(min((advskew_of(ip, vhid), ip) for ip in addresses)[1] for vhid in vhids)
            assert max(preferred.values()) <= -(-groups // nodes) + 1


@pytest.mark.parametrize("vhid", [1, 2, 100, 255, 65535])
def test_no_two_of_thirty_two_neighbours_have_the_same(vhid: int) -> None:
    found = {advskew_of(ip_address(f"192.0.2.{number}"), vhid) for number in range(100, 132)}
    assert len(found) == 32
    assert max(found) <= 254
    assert {value % 4 for value in found} == {0}
