"""Where advertisements go, and where they come from, when somebody says so."""

from collections.abc import Iterator, Sequence

import pytest

from carpsidecar.lab.process import Process
from tests.support.cluster import FAST, VHID, VIP6, Cluster, cluster_of
from tests.support.frames import BROADCAST_MAC, CARP_MAC
from tests.support.tap import Tap, advertises
from tests.support.waits import SOON_S

pytestmark = pytest.mark.network

A, B = "10.99.0.11", "10.99.0.12"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with cluster_of("a", "b") as cluster:
        yield cluster


def start_two(cluster: Cluster, for_a: Sequence[str], for_b: Sequence[str]) -> list[Process]:
    return cluster.start_one_by_one(
        ("a", (*FAST, "--advskew", "40", *for_a)), ("b", (*FAST, "--advskew", "80", *for_b))
    )


def destination_of(tap: Tap, sender: str, after: int) -> bytes:
    """The Ethernet address that this one's advertisements go to."""
    return tap.wait_for(advertises(sender), SOON_S, after).data[:6]


def hand_over(cluster: Cluster, a: Process, b: Process) -> None:
    assert a.stop() == 0
    b.wait_for("became master: the master bowed out", SOON_S)
    cluster.watch.wait_until(lambda holders: holders == {"b"}, SOON_S, "b alone")
    assert b.stop() == 0


def test_unicast_peers_hear_each_other_and_nobody_else_does(cluster: Cluster, tap: Tap) -> None:
    before = len(tap.advertisements)
    a, b = start_two(cluster, ("--peer", B), ("--peer", A))
    with Tap(cluster["b"]) as at_b:
        at_b.wait_for_more(3, VHID, SOON_S)
    assert len(tap.advertisements) == before
    cluster.watch.wait_until_quiet(0.5, SOON_S)
    assert cluster.watch.holders_now() == {"a"}
    hand_over(cluster, a, b)


def test_unicast_peers_over_ipv6_carry_an_ipv4_address(cluster: Cluster) -> None:
    a, b = start_two(cluster, ("--peer", str(cluster["b"].address6)), ("--peer", str(cluster["a"].address6)))
    cluster.watch.wait_until_quiet(0.8, SOON_S)
    assert cluster.watch.holders_now() == {"a"}
    hand_over(cluster, a, b)


def test_a_broadcast_reaches_all(cluster: Cluster, tap: Tap) -> None:
    before = tap.mark()
    a, b = start_two(cluster, ("--broadcast",), ("--broadcast",))
    assert destination_of(tap, A, before) == BROADCAST_MAC
    cluster.watch.wait_until_quiet(0.5, SOON_S)
    assert cluster.watch.holders_now() == {"a"}
    hand_over(cluster, a, b)


def test_another_multicast_group_is_another_conversation(cluster: Cluster, tap: Tap) -> None:
    elsewhere = ("--multicast", "239.192.0.18")
    before = tap.mark()
    a, b = start_two(cluster, elsewhere, elsewhere)
    assert destination_of(tap, A, before) == bytes.fromhex("01005e400012")
    hand_over(cluster, a, b)


def test_a_source_that_is_given_is_advertised_from(cluster: Cluster, tap: Tap) -> None:
    cluster["a"].run(["ip", "address", "add", "10.99.0.50/24", "dev", "eth0"])
    sources = ("--vip", VIP6, "--source", "10.99.0.50", "--source", str(cluster["a"].address6))
    before = tap.mark()
    a, b = start_two(cluster, sources, ("--vip", VIP6))
    assert destination_of(tap, "10.99.0.50", before) == CARP_MAC
    tap.wait_for_more(3, VHID, SOON_S)
    assert not any(map(advertises(A), tap.heard[before:]))
    # With its source it loses what it lives by.
    heard = a.log_size
    cluster["a"].run(["ip", "address", "del", "10.99.0.50/24", "dev", "eth0"])
    cluster["a"].run(["ip", "address", "del", f"{cluster['a'].address6}/64", "dev", "eth0"])
    a.wait_for("became fault: source: 10.99.0.50, fd99::b is no address of this machine", SOON_S, after=heard)
    cluster.watch.wait_until(lambda holders: holders == {"b"}, SOON_S, "b alone")
    for process in (a, b):
        assert process.stop() == 0


def test_one_list_of_peers_serves_all_nodes(cluster: Cluster) -> None:
    everybody = ("--peer", A, "--peer", B)
    a, b = start_two(cluster, everybody, everybody)
    with Tap(cluster["b"]) as at_b:
        at_b.wait_for_more(3, VHID, SOON_S)
    assert "it carries our own address" not in a.log
    hand_over(cluster, a, b)
