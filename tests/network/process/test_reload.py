"""HUP: what is the same goes on as if nothing had been, what is new starts, what is gone stops."""

import signal
import time
from pathlib import Path

import pytest

from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process
from tests.network.process.running import (
    FAST,
    GROUP,
    LATE_S,
    SOON_S,
    VIP,
    Configuration,
    group,
    holds,
    script,
    send,
    start,
    start_master,
)
from tests.network.process.wire import Tap

pytestmark = pytest.mark.network

BROKEN = (
    "groups: [",
    "\x00",
    "groups: 5",
    "nonsense: true",
    "groups: [{vip: 10.99.0.100, vhid: 300}]",
    "groups: [{vip: 10.99.0.100, vhid: 1, passphrase_file: /nowhere}]",
    "groups: [{vip: 203.0.113.1, vhid: 1, passphrase: x}]",
)


def reload(engine: Process, until: str = "the configuration was read again") -> str:
    """HUP, and wait for the line that says how it went; what was logged meanwhile."""
    after = engine.log_size
    send(engine, signal.SIGHUP)
    engine.wait_for(until, SOON_S, after)
    return engine.log[after:]


def test_an_unchanged_group_stays_master_without_a_gap_or_a_change(
    node: Node, peer: Node, tap: Tap, tmp_path: Path
) -> None:
    engine = start_master(node, Configuration(tmp_path, group()))
    backup = start(peer, Configuration(tmp_path, group(advskew=120)))
    backup.wait_for("became backup", SOON_S)
    with HolderWatch([node, peer], VIP) as watch:
        for _ in range(5):
            tap.wait_for_more(2, 100, SOON_S)
            assert "became" not in reload(engine)
        tap.wait_for_more(2, 100, SOON_S)
        assert [(change.node, change.held) for change in watch.changes] == [("node", True), ("peer", False)]
    assert tap.longest_gap_s(100) < LATE_S
    assert {heard.source for heard in tap.heard} == {node.address}
    assert backup.log.count("became") == 1


def test_changed_advskew_and_hooks_keep_the_state(node: Node, tap: Tap, tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, group())
    engine = start_master(node, configuration)
    with HolderWatch([node], VIP) as watch:
        configuration.groups[0].update(advskew=40, on_backup=script(tmp_path, "hook", "echo TOLD $CARP_REASON"))
        configuration.write()
        said = reload(engine)
        assert f"{GROUP}: new settings, same state" in said
        assert "became" not in said
        tap.wait_for(lambda heard: heard.packet.advskew == 40, SOON_S)
        assert tap.longest_gap_s(100) < LATE_S
        assert len(watch.changes) == 1
    send(engine, signal.SIGTERM)
    engine.wait_for("TOLD stopped", SOON_S)


def test_other_addresses_restart_the_group(node: Node, tap: Tap, tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, group())
    engine = start_master(node, configuration)
    configuration.groups[0]["vip"] = "10.99.0.200"
    configuration.write()
    said = reload(engine)
    assert f"{GROUP}: became init: stopped" in said
    assert f"{GROUP}: became backup: started" in said
    assert not holds(node, VIP)
    assert any(heard.is_bow_out for heard in tap.heard)
    engine.wait_for("became master", SOON_S, engine.log_size - len(said.encode()))
    assert holds(node, "10.99.0.200")


def test_groups_come_and_go_and_the_others_do_not_notice(node: Node, tap: Tap, tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, group(), group(101))
    engine = start_master(node, configuration)
    configuration.groups[1:] = [group(102)]
    configuration.write()
    said = reload(engine)
    assert "vhid-101: no longer configured so" in said
    assert not holds(node, "10.99.0.101")
    assert [heard.packet.vhid for heard in tap.heard if heard.is_bow_out] == [101]
    engine.wait_for("vhid-102: became master", SOON_S)
    assert holds(node, "10.99.0.102")
    assert tap.longest_gap_s(100) < LATE_S
    assert engine.log.count(f"{GROUP}: became") == 2
    assert engine.stop() == 0
    assert {heard.packet.vhid for heard in tap.heard if heard.is_bow_out} == {100, 101, 102}


def test_a_configuration_that_cannot_be_used_is_one_line_in_the_log_and_changes_nothing(
    node: Node, tap: Tap, tmp_path: Path
) -> None:
    configuration = Configuration(tmp_path, group())
    engine = start_master(node, configuration)
    for broken in BROKEN:
        configuration.path.write_text(broken)
        said = reload(engine, "the new configuration can't be used")
        assert len(said.splitlines()) == 1, said
        assert " ERROR " in said
    configuration.path.unlink()
    assert "can't be read (No such file or directory)" in reload(engine, "the new configuration can't be used")
    tap.wait_for_more(2, 100, SOON_S)
    assert holds(node)
    configuration.write()
    assert "became" not in reload(engine)
    assert tap.longest_gap_s(100) < LATE_S


def test_a_new_group_that_cannot_start_is_said_and_the_others_start(node: Node, tap: Tap, tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, group())
    engine = start_master(node, configuration)
    configuration.groups += [group(101), group(102, source="10.99.0.77"), group(103)]
    configuration.write()
    for _ in range(3):
        said = reload(engine, "the new configuration can't be used")
        assert "source: 10.99.0.77 is no address of this machine" in said
        assert "Traceback" not in said
        assert "Exception" not in said
    engine.wait_for("vhid-101: became master", SOON_S)
    engine.wait_for("vhid-103: became master", SOON_S)
    del configuration.groups[2]["source"]
    configuration.write()
    reload(engine)
    engine.wait_for("vhid-102: became master", SOON_S)
    assert engine.log.count(f"{GROUP}: became") == 2


@pytest.mark.parametrize("what", ["removed", "other addresses"])
def test_the_backup_hook_of_a_group_that_goes_is_left_to_end(node: Node, tmp_path: Path, what: str) -> None:
    farewell = script(tmp_path, "farewell", "sleep 0.3; echo TOLD $CARP_GROUP, $CARP_REASON")
    hooks = {"on_master": "/bin/true", "on_backup": farewell}
    configuration = Configuration(tmp_path, group(), group(101, **hooks))
    engine = start_master(node, configuration)
    engine.wait_for("TOLD vhid-101, started", SOON_S)
    after = engine.log_size
    if what == "removed":
        del configuration.groups[1]
    else:
        configuration.groups[1]["vip"] = "10.99.0.201"
    configuration.write()
    reload(engine)
    engine.wait_for("TOLD vhid-101, stopped", SOON_S, after)
    if what == "other addresses":
        engine.wait_for("TOLD vhid-101, started", SOON_S, after)
        told = [line for line in engine.log[after:].splitlines() if line.startswith("TOLD")]
        assert told == ["TOLD vhid-101, stopped", "TOLD vhid-101, started"]


def test_a_group_that_goes_as_the_engine_stops_has_its_hook_waited_for(node: Node, tmp_path: Path) -> None:
    farewell = script(tmp_path, "farewell", "sleep 0.5; echo TOLD $CARP_REASON")
    configuration = Configuration(tmp_path, group(), group(101, on_master="/bin/true", on_backup=farewell))
    engine = start_master(node, configuration)
    del configuration.groups[1]
    configuration.write()
    reload(engine)
    assert engine.stop() == 0
    assert engine.log.count("TOLD stopped") == 1


def test_a_reload_while_the_engine_stops_starts_nothing(node: Node, tap: Tap, tmp_path: Path) -> None:
    farewell = script(tmp_path, "farewell", 'test "$CARP_REASON" = started || { echo TOLD; sleep 1; }')
    configuration = Configuration(tmp_path, group(on_master="/bin/true", on_backup=farewell))
    engine = start_master(node, configuration)
    send(engine, signal.SIGTERM)
    engine.wait_for("TOLD", SOON_S)
    configuration.groups.append(group(101))
    configuration.write()
    begin = time.monotonic()
    send(engine, signal.SIGHUP)
    assert engine.wait(SOON_S) == 0
    assert time.monotonic() - begin > FAST["dead_ratio"] * FAST["advskew"] / 256, "too short to prove anything"
    assert "vhid-101: became" not in engine.log
    assert not holds(node, "10.99.0.101")
    assert {heard.packet.vhid for heard in tap.heard} == {100}
