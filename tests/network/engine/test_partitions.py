"""The switch parts machines that have nothing to see of it, and joins them again."""

import time
from collections.abc import Iterator

import pytest

from carpsidecar.lab.probe import Probe
from carpsidecar.lab.process import Process
from tests.support.cluster import FAST, VIP, Cluster, client_of, cluster_of, mac_of, neighbour
from tests.support.waits import SOON_S, Delay

pytestmark = pytest.mark.network

BETTER = (*FAST, "--advskew", "40")
WORSE = (*FAST, "--advskew", "80")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with cluster_of("a", "b") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def daemons(cluster: Cluster) -> list[Process]:
    return cluster.start_one_by_one(("a", BETTER), ("b", WORSE))


@pytest.fixture(scope="module")
def client(cluster: Cluster, daemons: list[Process]) -> Iterator[Probe]:
    with client_of(cluster) as client:
        client.wait_until_answered_by("a", SOON_S)
        yield client


def settled(cluster: Cluster, client: Probe, winner: str) -> None:
    """One machine holds the address, nobody else, for good, and the client sends to that one."""
    cluster.watch.wait_until(lambda holders: holders == {winner}, SOON_S, f"{winner} alone")
    client.wait_until_answered_by(winner, SOON_S)
    cluster.watch.wait_until_quiet(1, SOON_S)
    assert cluster.watch.holders_now() == {winner}
    assert neighbour(cluster.lab.nodes["client2"], VIP) == mac_of(cluster[winner])


def test_of_two_masters_the_better_one_remains_and_the_client_finds_it(
    cluster: Cluster, daemons: list[Process], client: Probe
) -> None:
    a, b = daemons
    since, delay = time.monotonic(), Delay(*cluster["a"].processes, *cluster["b"].processes)
    cluster["a"].cut_off()
    cluster.watch.wait_until(lambda holders: holders == {"a", "b"}, SOON_S, "both, since neither can know")
    client.wait_until_answered_by("b", SOON_S)
    assert client.longest_outage_s(since) < 1.5 + delay.s

    heard, rejoined = b.log_size, time.monotonic()
    cluster["a"].rejoin()
    settled(cluster, client, "a")
    assert "a better master advertises (10.99.0.11)" in b.wait_for("became backup", SOON_S, after=heard)
    assert a.log.count("became master") == 1, "it never was anything else"
    assert client.longest_outage_s(rejoined) < 0.5 + delay.s


def test_of_two_masters_the_worse_one_yields_when_it_was_the_one_cut_off(
    cluster: Cluster, daemons: list[Process], client: Probe
) -> None:
    _, b = daemons
    cluster["b"].cut_off()
    cluster.watch.wait_until(lambda holders: holders == {"a", "b"}, SOON_S, "both")
    heard = b.log_size
    cluster["b"].rejoin()
    b.wait_for("became backup: a better master", SOON_S, after=heard)
    settled(cluster, client, "a")


def test_a_machine_that_hears_nothing_yields_as_soon_as_it_hears_again(
    cluster: Cluster, daemons: list[Process], client: Probe
) -> None:
    a, b = daemons
    cluster["b"].drop_incoming()
    cluster.watch.wait_until(lambda holders: holders == {"a", "b"}, SOON_S, "both")
    heard_a, heard_b = a.log_size, b.log_size
    cluster["b"].rejoin()
    b.wait_for("became backup: a better master", SOON_S, after=heard_b)
    settled(cluster, client, "a")
    assert "became" not in a.log[heard_a:]


def test_machines_with_equal_settings_agree_on_the_lower_address(cluster: Cluster) -> None:
    for name in ("a", "b"):
        for process in cluster[name].processes:
            if "run" in process.argv:
                process.stop()
    low = cluster.start("a", *WORSE)
    high = cluster.start("b", *WORSE)
    cluster.watch.wait_for_exactly_one(SOON_S)
    for name in ("a", "b"):
        cluster[name].cut_off()
    cluster.watch.wait_until(lambda holders: holders == {"a", "b"}, SOON_S, "both")
    for process in (low, high):
        process.wait_for("became master", SOON_S)
    heard_low, heard_high = low.log_size, high.log_size
    for name in ("a", "b"):
        cluster[name].rejoin()
    high.wait_for("became backup: a better master advertises (10.99.0.11)", SOON_S, after=heard_high)
    cluster.watch.wait_until_quiet(1, SOON_S)
    assert cluster.watch.holders_now() == {"a"}
    assert "became" not in low.log[heard_low:]
