"""Drained by an operator: that outlasts a reload, the reporter, and the engine that was told."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from carpsidecar.ipc.messages import Drain, GroupSnapshot, SetDemotion
from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.node import Node
from tests.network.process.consumer import consume
from tests.support.daemon import GROUP, Configuration, group, holds, script, start, start_master
from tests.support.waits import SOON_S

pytestmark = pytest.mark.network

PREFERRED = {"advskew": 20, "preempt": True}
UNDRAIN = Drain(on=False)


@pytest.fixture
def watch(node: Node, peer: Node) -> Iterator[HolderWatch]:
    with HolderWatch([node, peer], "10.99.0.100") as watch:
        yield watch


def drained_file(node: Node, name: str = GROUP) -> Path:
    """Where a drain of this node lies."""
    folder = Path(node.environment["STATE_DIRECTORY"], "drained")
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def drain(text: str) -> Drain:
    return Drain(text=text)


def test_a_drained_node_that_starts_again_never_holds_the_address(
    node: Node, peer: Node, watch: HolderWatch, tmp_path: Path
) -> None:
    preferred = Configuration(tmp_path, group(**PREFERRED))
    with consume(node, preferred) as consumer:
        consumer.wait_for_role("master")
        other = start(peer, Configuration(tmp_path, group(advskew=90)))
        other.wait_for("became backup", SOON_S)
        consumer.ask(drain("kernel update"))
        backup = consumer.wait_for_role("backup")
        assert (backup.reason, backup.demotion_texts) == ("demoted: kernel update", {"operator": "kernel update"})
        watch.wait_until(lambda holders: holders == {"peer"}, SOON_S, "peer alone")
        assert consumer.stop() == 0
    assert drained_file(node).read_text() == "kernel update\n"
    changes = len(watch.changes)
    for end in (signal.SIGTERM, signal.SIGKILL):
        with consume(node, preferred) as consumer:
            first = consumer.wait_for(GroupSnapshot)
            assert (first.role, first.reason, first.demotions) == ("backup", "started", {"operator": 240})
            assert (first.demotion_texts, first.advskew_advertised) == ({"operator": "kernel update"}, 240)
            # Longer than either waits for the other one.
            watch.wait_until_quiet(1.5, 2)
            consumer.engine.send_signal(end)
            consumer.engine.wait(SOON_S)
    assert watch.changes[changes:] == []
    with consume(node, preferred) as consumer:
        consumer.wait_for(GroupSnapshot)
        consumer.ask(UNDRAIN)
        consumer.wait_for_role("master")
        watch.wait_until(lambda holders: holders == {"node"}, SOON_S, "node alone")


def test_of_two_that_start_at_once_the_drained_one_waits_for_the_other(
    node: Node, peer: Node, watch: HolderWatch, tmp_path: Path
) -> None:
    drained_file(node).write_text("")
    start(node, Configuration(tmp_path, group(**PREFERRED)))
    start(peer, Configuration(tmp_path, group(advskew=30)))
    watch.wait_until(lambda holders: holders == {"peer"}, SOON_S, "peer alone")
    watch.wait_until_quiet(1.5, SOON_S)
    assert [change for change in watch.changes if change.node == "node" and change.held] == []


def test_where_nobody_else_lives_a_drained_node_serves(node: Node, tmp_path: Path) -> None:
    drained_file(node).mkdir()
    engine = start_master(node, Configuration(tmp_path, group(**PREFERRED)))
    assert holds(node)
    assert f"taken for drained: {drained_file(node)} is no regular file" in engine.log
    assert "demotion by operator: 240" in engine.log


def test_a_reload_takes_no_drain_back_and_finds_those_of_new_groups(node: Node, tmp_path: Path) -> None:
    web = {"name": "web", "tcp": "127.0.0.1:80", "demotion": 1}
    configuration = Configuration(tmp_path, group(), beside={"checks": [web]})
    with consume(node, configuration) as consumer:
        consumer.ask(drain("one"))
        consumer.ask(SetDemotion(cause="check:web", amount=1))
        consumer.wait_for(GroupSnapshot, lambda snapshot: len(snapshot.demotions) == 2)
        drained_file(node, "vhid-101").write_text("two\n")
        configuration.beside["http"] = "127.0.0.1:9112"
        configuration.groups.append(group(101))
        configuration.write()
        consumer.engine.send_signal(signal.SIGHUP)
        new = consumer.wait_for(GroupSnapshot, lambda snapshot: snapshot.group == "vhid-101")
        assert (new.role, new.demotion_texts) == ("backup", {"operator": "two"})
        old = consumer.wait_for(GroupSnapshot, lambda snapshot: snapshot.demotions == {"operator": 240})
        assert (old.group, old.demotion_texts) == (GROUP, {"operator": "one"})


def test_one_of_two_that_are_bound_together_drains_both(node: Node, tmp_path: Path) -> None:
    drained_file(node, "vhid-101").write_text("cable\n")
    groups = (group(number, sync_group="both") for number in (100, 101))
    with consume(node, Configuration(tmp_path, *groups)) as consumer:
        seen: set[str] = set()
        while len(seen) < 2:
            snapshot = consumer.wait_for(GroupSnapshot)
            assert (snapshot.role, snapshot.demotion_texts) == ("backup", {"operator": "cable"})
            seen.add(snapshot.group)


def test_the_reason_is_passed_to_hooks(node: Node, tmp_path: Path) -> None:
    hook = script(tmp_path, "hook", 'echo "because: $CARP_REASON"')
    with consume(node, Configuration(tmp_path, group(on_backup=hook, on_master="/bin/true"))) as consumer:
        consumer.wait_for_role("master")
        consumer.ask(drain("für den Tausch; rm -rf $HOME"))
        consumer.wait_for_role("backup")
        consumer.wait_for_log("because: demoted: für den Tausch; rm -rf $HOME")
