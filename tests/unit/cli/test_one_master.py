"""Who answers for an address, by the kernel's ARP of one machine of the lab."""

from collections.abc import Iterator

import pytest

from carpsidecar.cli.one_master import _who_answers
from carpsidecar.lab.namespace import has_privileges
from carpsidecar.lab.network import Lab
from tests.support.cluster import inside, mac_of


@pytest.fixture
def lab() -> Iterator[Lab]:
    if not has_privileges():
        pytest.skip("needs network namespaces: run as root")
    with Lab() as lab:
        for name in ("asking", "master", "stranger"):
            lab.node(name)
        yield lab


def asked(lab: Lab, address: str, name: str = "asking") -> tuple[str, bool]:
    """Of the machine of this name."""
    master = str(lab.nodes["master"].address)

    def ask() -> tuple[str, bool]:
        # In this process /proc/net is of the thread that asks, which `inside` moved.
        return _who_answers(address, master, "node-m", "/proc/thread-self/net/arp")

    found: tuple[str, bool] = inside(lab.nodes[name], ask)
    return found


def test_it_is_the_masters_node_or_it_is_said_who_it_is(lab: Lab) -> None:
    vip = "10.99.0.100"
    assert asked(lab, vip) == (f"{vip}: nobody answers for it on this node's network", True)
    lab.nodes["master"].run(["ip", "address", "add", f"{vip}/32", "dev", "eth0"])
    mac = mac_of(lab.nodes["master"])
    assert asked(lab, vip) == (f"{vip}: {mac} answers for it, which is node-m", False)
    assert asked(lab, vip, "master") == (f"{vip}: can't be asked for from here", False)
    lab.nodes["master"].run(["ip", "address", "del", f"{vip}/32", "dev", "eth0"])
    lab.nodes["stranger"].run(["ip", "address", "add", f"{vip}/32", "dev", "eth0"])
    lab.nodes["asking"].run(["ip", "neighbour", "flush", "all"])
    stranger = mac_of(lab.nodes["stranger"])
    assert asked(lab, vip) == (f"{vip}: {stranger} answers for it, and node-m, which is master, is {mac}", True)


def test_what_is_not_in_the_network_can_not_be_asked_for(lab: Lab) -> None:
    for address in ("203.0.113.7", "2001:db8::100"):
        answer, is_problem = asked(lab, address)
        assert not is_problem
        assert "can't be asked for from here" in answer
