"""An address is a lease: whoever crashes or hangs has lost it before another machine takes it."""

import time
from collections.abc import Iterator

import pytest

from carpsidecar.lab.probe import Probe
from carpsidecar.lab.process import Process
from tests.network.engine.daemon import Cluster, client_of, cluster_of

pytestmark = pytest.mark.network

# With advbase 1 a backup waits 3 s and its skew, and the kernel keeps an address for 2 s.
MASTER_DOWN_S = 3 + 20 / 256
LIFETIME_SEEN_S = 2.6
BUSY_S = 0.5
PREFERRED = ("--preempt",)
OTHER = ("--advskew", "20")


class Pair:
    """`a`, the preferred one, and `b`, with a client that watches."""

    def __init__(self, cluster: Cluster, client: Probe) -> None:
        self.cluster = cluster
        self.client = client
        self.watch = cluster.watch
        self.a, self.b = cluster.start_one_by_one(("a", PREFERRED), ("b", OTHER))
        self.client.wait_until_answered_by("a", 5)

    def restart_a(self) -> Process:
        self.a = self.cluster.start("a", *PREFERRED)
        return self.a

    def a_takes_it_back(self) -> None:
        self.watch.wait_until(lambda holders: holders == {"a"}, 6, "a alone")
        self.client.wait_until_answered_by("a", 5)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with cluster_of("a", "b") as cluster, client_of(cluster) as client:
        yield Pair(cluster, client)


def takeover_after(pair: Pair, since: float) -> None:
    """What must be true after `a` fell silent at `since`."""
    pair.watch.wait_for_holder(None, LIFETIME_SEEN_S)
    pair.watch.wait_for_holder("b", 5)
    taken_s = time.monotonic() - since
    pair.client.wait_until_answered_by("b", 1)
    assert pair.watch.two_holders_s(since) == 0, "the kernel dropped it before the backup took it"
    # At that moment its last advertisement could be as old as an interval.
    assert MASTER_DOWN_S - 1.1 < taken_s < MASTER_DOWN_S + BUSY_S


def test_a_killed_master_loses_the_address_before_the_backup_takes_it(pair: Pair) -> None:
    since = time.monotonic()
    pair.a.kill()
    takeover_after(pair, since)
    assert "no advertisement from the master" in pair.b.wait_for("became master", 1)

    pair.restart_a()
    pair.a_takes_it_back()
    assert "preempting a slower master" in pair.a.wait_for("became master", 1)
    assert "a better master advertises (10.99.0.11)" in pair.b.wait_for("became backup: a better", 1)


def test_a_hanging_master_loses_it_too_and_is_a_backup_when_it_wakes_up(pair: Pair) -> None:
    since = time.monotonic()
    heard = pair.a.log_size
    pair.a.hang()
    takeover_after(pair, since)

    pair.a.resume()
    woken = pair.a.wait_for("became", 2, after=heard)
    assert "became backup: the lease ran out before it was renewed" in woken
    pair.a_takes_it_back()
    assert pair.watch.two_holders_s(since) < 0.1, "a handover by preemption is as short as a packet's way"
    assert "preempting a slower master" in pair.a.wait_for("became master", 1, after=heard)


def test_a_master_killed_and_restarted_at_once_bows_out_for_its_former_self(pair: Pair) -> None:
    since = time.monotonic()
    heard = pair.b.log_size
    pair.a.kill()
    pair.restart_a()
    assert "a former run left 10.99.0.100: taken off" in pair.a.wait_for("left", 5)
    assert "the master bowed out" in pair.b.wait_for("became master", 1, after=heard)
    assert time.monotonic() - since < 2, "the backup does not wait until the master is silent for 3 s"
    pair.a_takes_it_back()
    holders = [change.node for change in pair.watch.changes if change.at > since and change.held]
    assert holders == ["b", "a"], "it preempts, and has not held the address before"


def test_alone_it_takes_the_address_again(pair: Pair) -> None:
    assert pair.b.stop() == 0
    since = time.monotonic()
    pair.a.kill()
    pair.restart_a()
    pair.watch.wait_for_holder(None, 2)
    pair.watch.wait_for_holder("a", 5)
    pair.client.wait_until_answered_by("a", 2)
    assert pair.client.longest_outage_s(since) < 3 + 2
