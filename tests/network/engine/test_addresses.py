"""The master's addresses: put back when somebody takes them off, and never in the way of the machine's own."""

import socket
import time
from collections.abc import Iterator

import pytest

from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process
from tests.support.cluster import FAST, VIP, VIP6, Cluster, addresses, cluster_of, holds, inside, mac_of
from tests.support.tap import Tap, advertises, announces
from tests.support.waits import SOON_S, Delay

pytestmark = pytest.mark.network

AT_ONCE_S = 0.1
SECOND = "10.99.0.50"
PREFERRED = (*FAST, "--advskew", "40", "--preempt", "--vip", VIP6)
OTHER = (*FAST, "--advskew", "80", "--vip", VIP6)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with cluster_of("a", "b") as cluster:
        cluster["a"].run(["ip", "address", "add", f"{SECOND}/24", "dev", "eth0"])
        cluster.start_one_by_one(("a", PREFERRED), ("b", OTHER))
        yield cluster


@pytest.fixture
def a(cluster: Cluster) -> Iterator[Node]:
    """The master, before and after; its second address is none of our business."""
    cluster.watch.wait_until(lambda holders: holders == {"a"}, SOON_S, "a alone")
    yield cluster["a"]
    cluster.watch.wait_until(lambda holders: holders == {"a"}, SOON_S, "a alone")
    assert holds(cluster["a"], SECOND)


@pytest.fixture
def daemon(cluster: Cluster) -> Process:
    return cluster["a"].processes[0]


def source_towards(node: Node, target: object) -> str:
    """From where this machine would open a connection to the target."""

    def ask() -> str:
        family = socket.AF_INET6 if ":" in str(target) else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((str(target), 9))
            return str(sock.getsockname()[0])

    return str(inside(node, ask))


def primary(node: Node) -> str:
    """The address that the kernel takes where nobody chooses."""
    return next(
        str(address["local"])
        for address in addresses(node)
        if address["family"] == "inet" and address["scope"] == "global" and not address.get("secondary")
    )


@pytest.mark.parametrize(("ip", "prefix"), [(VIP, 32), (VIP6, 128)])
def test_an_address_removed_by_hand_is_put_back_at_once(
    cluster: Cluster, a: Node, daemon: Process, ip: str, prefix: int
) -> None:
    heard, mac, delay = daemon.log_size, mac_of(a), Delay(daemon)
    with Tap(cluster["b"]) as tap:
        a.run(["ip", "address", "del", f"{ip}/{prefix}", "dev", "eth0"])
        removed_at = time.time()
        assert tap.wait_for(announces(ip, mac), SOON_S).at_s - removed_at < AT_ONCE_S + delay.s
    if ip == VIP:  # what happens again is logged again after a minute
        daemon.wait_for(f"somebody removed {VIP} while we are master: put back", SOON_S, after=heard)
    assert holds(a, ip)
    assert "became" not in daemon.log[heard:]


def test_the_address_is_never_the_source_of_other_connections(cluster: Cluster, a: Node) -> None:
    b = cluster["b"]
    assert source_towards(a, b.address) == str(a.address)
    assert source_towards(a, b.address6) == str(a.address6)
    assert source_towards(a, "10.99.0.200") == str(a.address), "nor to a neighbour that is not there"
    # A route without a preferred source leaves the choice to the kernel.
    a.run(["ip", "route", "add", "192.0.2.0/24", "via", str(b.address)])
    a.run(["ip", "route", "add", "2001:db8::/32", "via", str(b.address6)])
    assert source_towards(a, "192.0.2.1") == str(a.address)
    assert source_towards(a, "2001:db8::1") == str(a.address6)


def test_the_address_is_never_the_primary_one(cluster: Cluster, a: Node, daemon: Process) -> None:
    assert primary(a) == str(a.address)
    mine, second = (f"{ip}/24" for ip in (a.address, SECOND))
    heard = daemon.log_size
    # What is added again comes after ours, as when the network is restarted. IPv6 keeps us master meanwhile.
    for own in (second, mine):
        a.run(["ip", "address", "del", own, "dev", "eth0"])
    for own in (mine, second):
        a.run(["ip", "address", "add", own, "dev", "eth0"])
    with Tap(cluster["b"]) as tap:
        tap.wait_for(advertises(a.address), SOON_S)
    assert "became" not in daemon.log[heard:]
    assert primary(a) == str(a.address)
    assert source_towards(a, cluster["b"].address) == str(a.address)
    held = [address for address in addresses(a) if address["local"] in (VIP, VIP6)]
    assert {address["local"]: address["prefixlen"] for address in held} == {VIP: 32, VIP6: 128}
    assert all(0 < address["valid_life_time"] <= 3 for address in held), "both are leases"
    assert all(address["preferred_life_time"] == 0 for address in held)


def test_a_restarted_network_gets_the_address_back(cluster: Cluster, a: Node, daemon: Process) -> None:
    heard = daemon.log_size
    a.run(["ip", "address", "flush", "dev", "eth0"])
    cluster.watch.wait_until(lambda holders: holders == {"b"}, SOON_S, "b alone: a has nothing to advertise from")
    daemon.wait_for("became fault: eth0 has no address to advertise from", SOON_S, after=heard)

    for own in (f"{a.address}/24", f"{SECOND}/24", f"{a.address6}/64"):
        a.run(["ip", "address", "add", own, "dev", "eth0"])
    daemon.wait_for("became master", SOON_S, after=heard)


def test_a_stopped_engine_leaves_nothing_but_what_was_there(cluster: Cluster) -> None:
    a, daemon = cluster["a"], cluster["a"].processes[0]
    assert daemon.stop() == 0
    own = {str(a.address), SECOND, str(a.address6)}
    assert {address["local"] for address in addresses(a) if address["scope"] == "global"} == own
    cluster.watch.wait_until(lambda holders: holders == {"b"}, SOON_S, "b alone")
