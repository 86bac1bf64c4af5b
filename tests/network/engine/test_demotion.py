"""A machine whose advertisements do not leave is demoted, and yields to the first that it hears."""

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process
from tests.support.cluster import FAST, VHID, VIP6, Cluster, cluster_of
from tests.support.tap import Tap
from tests.support.waits import SOON_S, Delay

pytestmark = pytest.mark.network

PREFERRED = (*FAST, "--advskew", "40", "--preempt")
OTHER = (*FAST, "--advskew", "80")
THE_FIRST_TWO = "numgen inc mod 1000 < 2"


@contextmanager
def sending_forbidden(node: Node, which: str = "") -> Iterator[None]:
    """A firewall that drops what leaves with protocol 112, or `which` of it: the sender gets EPERM."""
    chain = "{ type filter hook output priority 0; }"
    rule = f"ip protocol 112 {which} drop"
    node.shell(f"nft 'add table ip mute; add chain ip mute out {chain}; add rule ip mute out {rule}'")
    try:
        yield
    finally:
        node.shell("nft delete table ip mute")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with cluster_of("a", "b") as cluster:
        yield cluster


@pytest.fixture
def pair(cluster: Cluster) -> Iterator[tuple[Process, Process]]:
    a, b = cluster.start_one_by_one(("a", PREFERRED), ("b", OTHER))
    yield a, b
    for process in (a, b):
        process.kill()
    cluster.watch.wait_for_holder(None, SOON_S)


def test_whoever_cannot_send_yields_and_is_itself_again_when_it_can(
    cluster: Cluster, pair: tuple[Process, Process]
) -> None:
    a, b = pair
    heard, since, delay = a.log_size, time.monotonic(), Delay(a, b)
    with sending_forbidden(cluster["a"]):
        a.wait_for("an advertisement could not be sent: cannot send from 10.99.0.11", SOON_S, after=heard)
        cluster.watch.wait_for_holder("b", SOON_S)
        a.wait_for("became backup: a better master advertises (10.99.0.12)", SOON_S, after=heard)
        cluster.watch.wait_until(lambda holders: holders == {"b"}, SOON_S, "b alone")
        # It prefers itself no more, though it preempts.
        cluster.watch.wait_until_quiet(1.5, SOON_S)
        assert cluster.watch.holders_now() == {"b"}
        assert cluster.watch.two_holders_s(since) < 0.2 + delay.s

    a.wait_for("demotion by sending: 0", SOON_S, after=heard)
    cluster.watch.wait_for_holder("a", SOON_S)
    a.wait_for("became master: preempting a slower master (10.99.0.12)", SOON_S, after=heard)


def test_a_test_of_sending_is_nothing_to_anybody_who_hears_it(
    cluster: Cluster, pair: tuple[Process, Process]
) -> None:
    a, b = pair
    since = a.log_size, b.log_size
    with Tap(cluster["b"]) as tap:
        with sending_forbidden(cluster["a"]):
            a.wait_for("became backup: a better master advertises", SOON_S, after=since[0])
        a.wait_for("became master: preempting", SOON_S, after=since[0])
        b.wait_for("became backup: a better master advertises", SOON_S, after=since[1])
        tests = [frame for frame in tap.advertisements if frame.vhid == 0]
    assert tests, "one advertisement at least was for nobody"
    assert "bad " not in b.log[since[1] :]
    assert b.log[since[1] :].count("became") == 2, "master, and backup again"


def test_an_address_that_could_not_be_added_is_tried_for_and_not_seen_by_anybody(cluster: Cluster) -> None:
    vips = ("--vip", VIP6)
    a, b = cluster.start_one_by_one(("a", (*PREFERRED, *vips)), ("b", (*OTHER, *vips)))
    heard, node = a.log_size, cluster["a"]
    node.shell("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1")
    try:
        a.wait_for("demotion by addresses: 240", SOON_S, after=heard)
        cluster.watch.wait_for_holder("b", SOON_S)
    finally:
        node.shell("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0")
    a.wait_for("demotion by addresses: 0", SOON_S, after=heard)
    cluster.watch.wait_for_holder("a", SOON_S)
    assert "192.0.0.8" not in node.shell("ip address"), "what it tried with is gone"
    for process in (b, a):
        assert process.stop() == 0


def test_two_failures_are_no_reason_to_give_up(cluster: Cluster) -> None:
    patient = (*FAST, "--advskew", "80", "--dead-ratio", "100")
    a, b = cluster.start_one_by_one(("a", (*FAST, "--advskew", "40")), ("b", patient))
    before = a.log_size, b.log_size
    with Tap(cluster["b"]) as tap:
        tap.wait_for_more(1, VHID, SOON_S)
        with sending_forbidden(cluster["a"], THE_FIRST_TWO):
            a.wait_for("could not be sent", SOON_S, after=before[0])
            tap.wait_for_more(3, VHID, SOON_S)
        heard = tap.advertisements
    counters = [int.from_bytes(frame.payload[8:16]) for frame in heard]
    assert max(later - earlier for earlier, later in itertools.pairwise(counters)) == 3, "two are missing"
    assert {frame.advskew for frame in heard} == {40}
    assert "became" not in a.log[before[0] :] + b.log[before[1] :]
    assert cluster.watch.holders_now() == {"a"}
    for process in (b, a):
        assert process.stop() == 0
