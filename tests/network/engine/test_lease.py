"""An address is a lease: whoever crashes or hangs has lost it before another machine takes it."""

import time
from collections.abc import Iterator

import pytest

from carpsidecar.lab.holders import Change
from carpsidecar.lab.probe import Probe
from carpsidecar.lab.process import Process
from tests.support.cluster import VHID, Cluster, client_of, cluster_of
from tests.support.tap import Tap, advertises
from tests.support.waits import SOON_S, Delay

pytestmark = pytest.mark.network

# With advbase 1 a backup waits 3 s and its skew, and the kernel keeps an address for 2 s, or 2.4 s as it is seen.
MASTER_DOWN_S = 3 + 20 / 256
SLACK_S = 0.5
PREFERRED = ("--preempt",)
OTHER = ("--advskew", "20")


class Pair:
    """`a`, the preferred one, and `b`, with a client that watches."""

    def __init__(self, cluster: Cluster, client: Probe, tap: Tap) -> None:
        self.cluster = cluster
        self.client = client
        self.tap = tap
        self.watch = cluster.watch
        self.a, self.b = cluster.start_one_by_one(("a", PREFERRED), ("b", OTHER))
        self.client.wait_until_answered_by("a", SOON_S)

    def restart_a(self) -> Process:
        self.a = self.cluster.start("a", *PREFERRED)
        return self.a

    def a_takes_it_back(self) -> None:
        self.watch.wait_until(lambda holders: holders == {"a"}, SOON_S, "a alone")
        self.client.wait_until_answered_by("a", SOON_S)

    def changes_since(self, since: float) -> list[Change]:
        return [change for change in self.watch.changes if change.at > since]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with cluster_of("a", "b") as cluster, client_of(cluster) as client, Tap(cluster.lab.nodes["client2"]) as tap:
        yield Pair(cluster, client, tap)


class Silence:
    """Of `a`, from now on; `b` ends it."""

    def __init__(self, pair: Pair) -> None:
        # Or else `b` might wait since its own start.
        pair.tap.wait_for_more(1, VHID, SOON_S)
        self.since = time.monotonic()
        self._pair = pair
        self._heard = pair.tap.mark()
        self._delay = Delay(pair.b)

    def expect_takeover(self) -> None:
        pair = self._pair
        pair.watch.wait_for_holder("b", SOON_S)
        lost, taken = pair.changes_since(self.since)
        assert (lost.node, lost.held, taken.node) == ("a", False, "b"), "the kernel dropped it before b took it"
        assert pair.watch.two_holders_s(self.since) == 0
        first = pair.tap.wait_for(advertises(pair.cluster["b"].address), SOON_S, self._heard)
        *_, last = filter(advertises(pair.cluster["a"].address), pair.tap.heard)
        assert first.at_s - last.at_s < MASTER_DOWN_S + SLACK_S + self._delay.s
        pair.client.wait_until_answered_by("b", SOON_S)


def test_a_killed_master_loses_the_address_before_the_backup_takes_it(pair: Pair) -> None:
    silence = Silence(pair)
    pair.a.kill()
    silence.expect_takeover()
    assert "the master is silent" in pair.b.wait_for("became master", SOON_S)

    pair.restart_a()
    pair.a_takes_it_back()
    assert "preempting a slower master" in pair.a.wait_for("became master", SOON_S)
    assert "a better master advertises (10.99.0.11)" in pair.b.wait_for("became backup: a better", SOON_S)


def test_a_hanging_master_loses_it_too_and_is_a_backup_when_it_wakes_up(pair: Pair) -> None:
    silence, delay = Silence(pair), Delay(pair.a, pair.b)
    heard = pair.a.log_size
    pair.a.hang()
    silence.expect_takeover()

    pair.a.resume()
    woken = pair.a.wait_for("became", SOON_S, after=heard)
    assert "became backup: the lease ran out before it was renewed" in woken
    pair.a_takes_it_back()
    assert pair.watch.two_holders_s(silence.since) < 0.1 + delay.s, (
        "a handover by preemption is as short as a packet's way"
    )
    assert "preempting a slower master" in pair.a.wait_for("became master", SOON_S, after=heard)


def test_alone_it_takes_the_address_again(pair: Pair) -> None:
    assert pair.b.stop() == 0
    since = time.monotonic()
    pair.a.kill()
    delay = Delay(pair.restart_a())
    pair.a.wait_for("became master: no advertisement from the master", SOON_S)
    pair.watch.wait_for_holder("a", SOON_S)
    lost, taken = pair.changes_since(since)
    assert (lost.node, lost.held, taken.node) == ("a", False, "a")
    assert taken.at - lost.at < 3 + SLACK_S + delay.s
    pair.client.wait_until_answered_by("a", SOON_S)


def test_a_master_killed_and_restarted_at_once_bows_out_for_its_former_self() -> None:
    # A lease of 7 s, so that a busy machine has started it again by then.
    patient = ("--dead-ratio", "8")
    with cluster_of("a", "b") as cluster:
        first, b = cluster.start_one_by_one(("a", (*PREFERRED, *patient)), ("b", (*OTHER, *patient)))
        since, heard = time.monotonic(), b.log_size
        first.kill()
        again = cluster.start("a", *PREFERRED, *patient)
        assert "a former run left 10.99.0.100: taken off" in again.wait_for("left", SOON_S)
        # And not by the silence of the master.
        assert "the master bowed out" in b.wait_for("became master", SOON_S, after=heard)
        assert "preempting a slower master" in again.wait_for("became master", SOON_S)
        cluster.watch.wait_until(lambda holders: holders == {"a"}, SOON_S, "a alone")
        # One takes it so soon after the other that the watch may not know which was first.
        holders = [change.node for change in cluster.watch.changes if change.at > since and change.held]
        assert sorted(holders) == ["a", "b"], "it has not held the address before"
