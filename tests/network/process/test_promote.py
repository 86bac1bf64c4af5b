"""Promoted by hand: ours takes over from ours and from Debian's ucarp, and says so where it can't."""

import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from carpsidecar.ipc.messages import Drain, GroupSnapshot, Heartbeat, Promote, Result, StepDown
from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process
from tests.network.process.consumer import consume
from tests.support.daemon import GROUP, VIP, Configuration, group, script, start_master
from tests.support.peers import UCARP, needs_ucarp
from tests.support.tap import Tap, advertises
from tests.support.waits import SOON_S, Delay

pytestmark = pytest.mark.network

SLOW = {"advbase": 1, "dead_ratio": 3}
"""ucarp counts whole seconds."""


@pytest.fixture
def watch(node: Node, peer: Node) -> Iterator[HolderWatch]:
    with HolderWatch([node, peer], VIP) as watch:
        yield watch


def ucarp(on: Node, directory: Path, advskew: int, *flags: str) -> Process:
    """One that has become master."""
    up, down = (
        script(directory, f"ucarp-{verb}", f'exec ip addr {verb} "$2/32" dev "$1"') for verb in ("add", "del")
    )
    argv = [str(UCARP), *shlex.split(f"-i eth0 -s {on.address} -a {VIP} -v 100 -k {advskew} -z -f none")]
    process = on.start([*argv, "-o", str(directory / "passphrase"), "-u", up, "-d", down, *flags])
    process.wait_for("Switching to state: MASTER", SOON_S)
    return process


def test_it_is_faster_than_the_master_for_as_long_as_it_is_one(
    node: Node, peer: Node, tap: Tap, watch: HolderWatch, tmp_path: Path
) -> None:
    other = start_master(peer, Configuration(tmp_path, group(advskew=40, preempt=True)))
    with consume(node, Configuration(tmp_path, group(advskew=90, preempt=True))) as consumer:
        consumer.wait_for(GroupSnapshot, lambda snapshot: snapshot.master == str(peer.address))
        before, seen = tap.mark(), other.log_size
        consumer.ask(Promote(group=GROUP, text="disk swap"))
        master = consumer.wait_for_role("master")
        assert (master.reason, master.advskew, master.advskew_advertised) == ("promoted: disk swap", 90, 39)
        tap.wait_for(advertises(advskew=39), SOON_S, before)
        consumer.wait_for_log("became master: promoted: disk swap")
        other.wait_for(f"became backup: a better master advertises ({node.address})", SOON_S, seen)
        watch.wait_until(lambda holders: holders == {"node"}, SOON_S, "node alone")
        # The other one preempts, but not whoever is faster than itself.
        watch.wait_until_quiet(1, SOON_S)
        assert watch.holders_now() == {"node"}
        beat = consumer.next_heartbeat().counters[GROUP]
        assert beat.transitions["master"] == {"promoted": 1}
        seen = other.log_size
        consumer.ask(StepDown(text="enough"))
        backup = consumer.wait_for_role("backup")
        assert (backup.reason, backup.advskew_advertised) == ("asked to step down: enough", 90)
        other.wait_for("became master: the master bowed out", SOON_S, seen)
        watch.wait_until(lambda holders: holders == {"peer"}, SOON_S, "peer alone")
        watch.wait_until_quiet(1, SOON_S)
        assert watch.holders_now() == {"peer"}


@needs_ucarp
def test_a_ucarp_that_is_master_yields(node: Node, peer: Node, watch: HolderWatch, tmp_path: Path) -> None:
    with consume(node, Configuration(tmp_path, group(advskew=100, **SLOW))) as consumer:
        other = ucarp(peer, tmp_path, advskew=50)
        consumer.wait_for(GroupSnapshot, lambda snapshot: snapshot.master == str(peer.address))
        seen, delay = other.log_size, Delay(consumer.engine, other)
        since = time.monotonic()
        consumer.ask(Promote())
        master = consumer.wait_for_role("master")
        assert (master.reason, master.advskew_advertised) == ("promoted", 49)
        other.wait_for("Switching to state: BACKUP", SOON_S, seen)
        watch.wait_until(lambda holders: holders == {"node"}, SOON_S, "node alone")
        # Debian's ucarp reads what it has heard up to an interval later.
        assert watch.two_holders_s(since) < 1.9 + delay.s
        watch.wait_until_quiet(4, SOON_S)
        assert watch.holders_now() == {"node"}
        consumer.ask(StepDown())
        other.wait_for("Switching to state: MASTER", SOON_S, seen)


@needs_ucarp
@pytest.mark.parametrize("lower", [True, False], ids=["whose address is lower", "whose address is higher"])
def test_a_ucarp_as_fast_as_can_be_is_outrun_only_by_a_lower_address(
    node: Node, peer: Node, watch: HolderWatch, tmp_path: Path, lower: bool
) -> None:
    ours, theirs = (peer, node) if lower else (node, peer)
    assert (theirs.address < ours.address) is lower
    with consume(ours, Configuration(tmp_path, group(advskew=100, **SLOW))) as consumer:
        other = ucarp(theirs, tmp_path, advskew=0)
        consumer.wait_for(GroupSnapshot, lambda snapshot: snapshot.master == str(theirs.address))
        seen = other.log_size
        consumer.ask(Promote(text="test"))
        if lower:
            refused = consumer.wait_for(Result)
            assert refused.outcome == "refused"
            assert (
                f"the master {theirs.address} advertises as fast as this node can with advbase 1" in refused.reason
            )
            watch.wait_until_quiet(2, SOON_S)
            assert watch.holders_now() == {theirs.name}
            assert "Switching" not in other.log[seen:]
        else:
            assert consumer.wait_for_role("master").advskew_advertised == 0
            other.wait_for("Switching to state: BACKUP", SOON_S, seen)
            watch.wait_until(lambda holders: holders == {ours.name}, SOON_S, f"{ours.name} alone")
            watch.wait_until_quiet(4, SOON_S)
            assert watch.holders_now() == {ours.name}


@needs_ucarp
def test_one_that_was_promoted_still_yields_to_a_ucarp_that_is_faster(
    node: Node, peer: Node, watch: HolderWatch, tmp_path: Path
) -> None:
    first = start_master(peer, Configuration(tmp_path, group(advskew=60, **SLOW)))
    with consume(node, Configuration(tmp_path, group(advskew=100, **SLOW))) as consumer:
        consumer.wait_for(GroupSnapshot, lambda snapshot: snapshot.master == str(peer.address))
        consumer.ask(Promote())
        assert consumer.wait_for_role("master").advskew_advertised == 59
        watch.wait_until(lambda holders: holders == {"node"}, SOON_S, "node alone")
        assert first.stop() == 0
        ucarp(peer, tmp_path, 0, "-P")
        backup = consumer.wait_for_role("backup")
        assert (backup.reason, backup.advskew_advertised) == ("a better master advertises", 100)
        watch.wait_until(lambda holders: holders == {"peer"}, SOON_S, "peer alone")


def test_what_can_not_be_promoted_is_refused_and_moves_nothing(node: Node, peer: Node, tmp_path: Path) -> None:
    other = start_master(peer, Configuration(tmp_path, group(advskew=40)))
    with consume(node, Configuration(tmp_path, group(advskew=90))) as consumer:
        consumer.wait_for(GroupSnapshot, lambda snapshot: snapshot.master == str(peer.address))
        seen = other.log_size
        consumer.ask(Drain(text="kernel update"))
        consumer.ask(Promote())
        refused = consumer.wait_for(Result, lambda result: result.outcome == "refused")
        why = "it is demoted by operator: take that back first (carpsidecar undrain)"
        assert refused.reason == f"{GROUP} can't be promoted: {why}"
        consumer.ask(Drain(on=False))
        node.pull_cable()
        consumer.wait_for_role("fault")
        consumer.ask(Promote())
        refused = consumer.wait_for(Result, lambda result: result.outcome == "refused")
        assert refused.reason.endswith("it takes no part in the election: the link of eth0 is down")
        consumer.ask(Promote(group="nope"))
        unknown = consumer.wait_for(Result, lambda result: result.outcome == "refused")
        assert unknown.reason == "there is no such group here"
        assert "became" not in other.log[seen:]


def test_one_that_is_master_already_says_so(node: Node, tmp_path: Path) -> None:
    with consume(node, Configuration(tmp_path, group(advskew=90))) as consumer:
        consumer.wait_for_role("master")
        consumer.ask(Promote())
        consumer.wait_for_log("asked to become master, and is it already")
        beat = consumer.wait_for(Heartbeat)
        assert beat.counters[GROUP].transitions["master"] == {"master_silent": 1}


def test_groups_that_are_bound_together_are_promoted_together(node: Node, peer: Node, tmp_path: Path) -> None:
    groups = [group(number, sync_group="both") for number in (100, 101)]
    faster = Configuration(tmp_path, *({**one, "advskew": 40} for one in groups))
    start_master(peer, faster)
    with consume(node, Configuration(tmp_path, *({**one, "advskew": 90} for one in groups))) as consumer:
        following: set[str] = set()
        while following < {"vhid-100", "vhid-101"}:
            following.add(consumer.wait_for(GroupSnapshot, lambda snapshot: snapshot.master is not None).group)
        consumer.ask(Promote(group="vhid-101", text="test"))
        masters: set[str] = set()
        while masters < {"vhid-100", "vhid-101"}:
            snapshot = consumer.wait_for(GroupSnapshot, lambda snapshot: snapshot.role == "master")
            assert snapshot.reason == "promoted: test"
            masters.add(snapshot.group)
