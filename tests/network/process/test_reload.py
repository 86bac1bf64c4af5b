"""HUP: what is the same goes on as if nothing had been, what is new starts, what is gone stops."""

import signal
import time
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.network import Lab
from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process
from tests.support.daemon import (
    FAST,
    GROUP,
    NET_ADMIN_AND_RAW,
    PASSPHRASE,
    VIP,
    Configuration,
    expect_no_gap,
    group,
    holds,
    reload,
    script,
    send,
    start,
    start_master,
)
from tests.support.tap import Tap, advertises, bows_out
from tests.support.waits import SOON_S, Delay, wait_until

pytestmark = pytest.mark.network

BROKEN = (
    "groups: [",
    "\x00",
    "groups: 5",
    "nonsense: true",
    "groups: [{vip: 10.99.0.100, vhid: 70000}]",
    "groups: [{vip: 10.99.0.100, vhid: 1, passphrase_file: /nowhere}]",
    "groups: [{vip: 203.0.113.1, vhid: 1, passphrase: x}]",
)


def test_an_unchanged_group_stays_master_without_a_gap_or_a_change(
    node: Node, peer: Node, tap: Tap, tmp_path: Path
) -> None:
    engine = start_master(node, Configuration(tmp_path, group()))
    backup = start(peer, Configuration(tmp_path, group(advskew=120)))
    backup.wait_for("became backup", SOON_S)
    delay = Delay(engine)
    with HolderWatch([node, peer], VIP) as watch:
        for _ in range(5):
            tap.wait_for_more(2, 100, SOON_S)
            assert "became" not in reload(engine)
        tap.wait_for_more(2, 100, SOON_S)
        assert [(change.node, change.held) for change in watch.changes] == [("node", True), ("peer", False)]
    expect_no_gap(tap, delay)
    assert {heard.source for heard in tap.advertisements} == {node.address}
    assert backup.log.count("became") == 1


def test_changed_advskew_and_hooks_keep_the_state(node: Node, tap: Tap, tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, group())
    engine = start_master(node, configuration)
    delay = Delay(engine)
    with HolderWatch([node], VIP) as watch:
        configuration.groups[0].update(advskew=40, on_backup=script(tmp_path, "hook", "echo TOLD $CARP_REASON"))
        configuration.write()
        logged = reload(engine)
        assert f"{GROUP}: new settings, same state" in logged
        assert "became" not in logged
        tap.wait_for(advertises(advskew=40), SOON_S)
        expect_no_gap(tap, delay)
        assert len(watch.changes) == 1
    send(engine, signal.SIGTERM)
    engine.wait_for("TOLD stopped", SOON_S)


def test_commands_that_are_new_have_no_privileges_until_the_next_start_and_that_is_reported_once(
    node: Node, tmp_path: Path
) -> None:
    configuration = Configuration(tmp_path, group())
    engine = start_master(node, configuration)
    warning = "WARNING commands that are new run without privileges until the next start"
    assert "WARNING" not in reload(engine)
    configuration.groups[0]["on_backup"] = script(tmp_path, "hook", "echo TOLD $(grep CapEff /proc/self/status)")
    configuration.write()
    assert warning in reload(engine)
    assert warning not in reload(engine)
    send(engine, signal.SIGUSR2)
    assert int(engine.wait_for("TOLD", SOON_S).split()[-1], 16) == NET_ADMIN_AND_RAW


def test_an_interface_is_left_with_its_last_group(lab: Lab, tmp_path: Path) -> None:
    node = lab.node("two-cards", links=2)
    inside = {"interface": "eth1", "vip": "10.98.0.100"}
    groups = [group(interface="eth0"), group(101, **inside), group(102, **{**inside, "vip": "10.98.0.102"})]
    configuration = Configuration(tmp_path, *groups)
    engine = start_master(node, configuration)
    for number in (101, 102):
        engine.wait_for(f"vhid-{number}: became master", SOON_S)
    # A master opens the last of them, that which watches for foreign claims, after it has logged that it is one.
    reload(engine)
    two_cards = open_sockets(engine)
    del configuration.groups[2]
    configuration.write()
    reload(engine)
    assert open_sockets(engine) == two_cards
    del configuration.groups[1]
    configuration.write()
    reload(engine)
    one_card = open_sockets(engine)
    assert {table: 2 * count for table, count in one_card.items()} == two_cards
    own = node.links[1].address
    configuration.groups.append(group(101, **{**inside, "vip": str(own)}))
    configuration.write()
    reload(engine, f"{own} is this machine's own address")
    assert open_sockets(engine) == one_card, "one that can't start leaves nothing open"
    del configuration.groups[1]
    configuration.groups.append(group(101, **inside))
    configuration.write()
    after = engine.log_size
    reload(engine)
    engine.wait_for("vhid-101: became master", SOON_S, after)
    wait_until(lambda: open_sockets(engine) == two_cards, "the sockets of two interfaces")


def open_sockets(engine: Process) -> dict[str, int]:
    """How many raw and packet sockets there are where this engine alone has any."""
    tables = {table: Path(f"/proc/{engine.pid}/net/{table}").read_text() for table in ("raw", "packet")}
    return {table: len(text.splitlines()) - 1 for table, text in tables.items()}


@pytest.mark.parametrize("auth", ["carp", "hardened"])
def test_other_addresses_are_taken_and_let_go_while_those_that_stay_are_not_touched(
    node: Node, tap: Tap, tmp_path: Path, auth: str
) -> None:
    new, gone = "10.99.0.200", "10.99.0.201"
    configuration = Configuration(tmp_path, group(auth=auth, vip=[VIP, gone]))
    engine = start_master(node, configuration)
    delay = Delay(engine)
    with HolderWatch([node], VIP) as watch:
        configuration.groups[0]["vip"] = [new, VIP]
        configuration.write()
        after = tap.mark()
        logged = reload(engine)
        assert f"{GROUP}: new settings, same state" in logged
        assert "became" not in logged
        tap.wait_for(lambda frame: frame.announced == ip_address(new).packed, SOON_S, after=after)
        assert [holds(node, ip) for ip in (VIP, new, gone)] == [True, True, False]
        expect_no_gap(tap, delay)
        assert len(watch.changes) == 1
    send(engine, signal.SIGTERM)
    engine.wait_for("became init: stopped", SOON_S)
    assert engine.wait(SOON_S) == 0
    assert not holds(node, new)


@pytest.mark.parametrize("change", [{"vhid": 101}, {"auth": "hardened"}], ids=["vhid", "auth"])
def test_another_vhid_or_mode_starts_the_group_anew(
    node: Node, tap: Tap, tmp_path: Path, change: dict[str, Any]
) -> None:
    configuration = Configuration(tmp_path, group(name="web"))
    engine = start_master(node, configuration)
    configuration.groups[0].update(change)
    configuration.write()
    after = engine.log_size
    logged = reload(engine)
    assert "web: became init: stopped" in logged
    assert "web: became backup: started" in logged
    tap.wait_for(bows_out(100), SOON_S)
    engine.wait_for("became master", SOON_S, after)
    assert holds(node, VIP)


def test_a_passphrase_is_changed_in_three_steps_and_the_backup_hears_its_master_all_along(
    node: Node, peer: Node, tap: Tap, tmp_path: Path
) -> None:
    """First both accept the new one, then both sign with it, then the old one goes; on one node after the other."""
    nodes = []
    for number, one in enumerate((node, peer)):
        (tmp_path / one.name).mkdir()
        configuration = Configuration(tmp_path / one.name, group(auth="hardened", advskew=16 + 40 * number))
        engine = start_master(one, configuration) if number == 0 else start(one, configuration)
        engine.wait_for("became backup", SOON_S)
        nodes.append((engine, tmp_path / one.name / "passphrase"))
    delay = Delay(*(engine for engine, _ in nodes))
    before = [engine.log_size for engine, _ in nodes]
    for lines in (f"{PASSPHRASE}\nnew", f"new\n{PASSPHRASE}", "new"):
        for engine, file in nodes:
            file.write_text(lines)
            logged = reload(engine)
            assert f"{GROUP}: new settings, same state" in logged
            tap.wait_for_more(3, 100, SOON_S)
    expect_no_gap(tap, delay)
    for (engine, _), since in zip(nodes, before, strict=True):
        assert "became" not in engine.log[since:]
        assert "bad digest" not in engine.log[since:]


def test_groups_come_and_go_and_the_others_do_not_notice(node: Node, tap: Tap, tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, group(), group(101))
    engine = start_master(node, configuration)
    delay = Delay(engine)
    configuration.groups[1:] = [group(102)]
    configuration.write()
    logged = reload(engine)
    assert "vhid-101: no longer configured so" in logged
    assert not holds(node, "10.99.0.101")
    tap.wait_for(bows_out(101), SOON_S)
    engine.wait_for("vhid-102: became master", SOON_S)
    assert [heard.vhid for heard in tap.heard if heard.is_bow_out] == [101]
    assert holds(node, "10.99.0.102")
    expect_no_gap(tap, delay)
    assert engine.log.count(f"{GROUP}: became") == 2
    assert engine.stop() == 0
    for vhid in (100, 102):
        tap.wait_for(bows_out(vhid), SOON_S)


def test_a_configuration_that_cannot_be_used_is_one_line_in_the_log_and_changes_nothing(
    node: Node, tap: Tap, tmp_path: Path
) -> None:
    configuration = Configuration(tmp_path, group())
    engine = start_master(node, configuration)
    delay = Delay(engine)
    for broken in BROKEN:
        configuration.path.write_text(broken)
        logged = reload(engine, "the new configuration can't be used")
        assert len(logged.splitlines()) == 1, logged
        assert " ERROR " in logged
    configuration.path.unlink()
    assert "can't be read (No such file or directory)" in reload(engine, "the new configuration can't be used")
    tap.wait_for_more(2, 100, SOON_S)
    assert holds(node)
    configuration.write()
    assert "became" not in reload(engine)
    expect_no_gap(tap, delay)


def test_a_new_group_that_cannot_start_is_reported_and_the_others_start(
    node: Node, tap: Tap, tmp_path: Path
) -> None:
    configuration = Configuration(tmp_path, group())
    engine = start_master(node, configuration)
    configuration.groups += [group(101), group(102, vip=str(node.address)), group(103)]
    configuration.write()
    for _ in range(3):
        logged = reload(engine, "the new configuration can't be used")
        assert f"vip: {node.address} is this machine's own address" in logged
        assert "Traceback" not in logged
        assert "Exception" not in logged
    engine.wait_for("vhid-101: became master", SOON_S)
    engine.wait_for("vhid-103: became master", SOON_S)
    configuration.groups[2] = group(102)
    configuration.write()
    reload(engine)
    engine.wait_for("vhid-102: became master", SOON_S)
    assert engine.log.count(f"{GROUP}: became") == 2


@pytest.mark.parametrize("what", ["removed", "another vhid"])
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
        configuration.groups[1].update(vhid=102, name="vhid-101")
    configuration.write()
    reload(engine)
    engine.wait_for("TOLD vhid-101, stopped", SOON_S, after)
    if what == "another vhid":
        engine.wait_for("TOLD vhid-101, started", SOON_S, after)
        reported = [line for line in engine.log[after:].splitlines() if line.startswith("TOLD")]
        assert reported == ["TOLD vhid-101, stopped", "TOLD vhid-101, started"]


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
    farewell = script(tmp_path, "farewell", 'test "$CARP_REASON" = started || { echo TOLD; sleep 3; }')
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
    assert {heard.vhid for heard in tap.advertisements} == {100}


def test_a_passphrase_file_that_is_replaced_is_read_without_being_asked_to(node: Node, tmp_path: Path) -> None:
    """As kubelet replaces a Secret's."""
    engine = start_master(node, Configuration(tmp_path, group(auth="hardened")))
    after = engine.log_size
    (tmp_path / "new").write_text(f"{PASSPHRASE}\nnew")
    (tmp_path / "new").replace(tmp_path / "passphrase")
    engine.wait_for("a passphrase file is another one", SOON_S, after)
    engine.wait_for("the configuration was read again", SOON_S, after)
    assert "became" not in engine.log[after:]
