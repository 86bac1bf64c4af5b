"""Signals: stop, status, step down; one, two, and hundreds of them."""

import re
import signal
from pathlib import Path

import pytest

from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.node import Node
from tests.support.daemon import GROUP, VIP, Configuration, expect_no_gap, group, holds, send, start, start_master
from tests.support.tap import Tap, bows_out
from tests.support.waits import SOON_S, Delay

pytestmark = pytest.mark.network


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_master_that_is_stopped_bows_out_and_lets_the_address_go(
    node: Node, tap: Tap, tmp_path: Path, number: signal.Signals
) -> None:
    engine = start_master(node, Configuration(tmp_path, group()))
    assert holds(node)
    send(engine, number)
    assert engine.wait(SOON_S) == 0
    assert not holds(node)
    last = tap.wait_for(bows_out(100), SOON_S)
    assert last == tap.advertisements[-1]
    assert last.source == node.address
    assert "stopping on " + number.name in engine.log


def test_a_backup_that_is_stopped_sends_nothing_on_the_wire(
    node: Node, peer: Node, tap: Tap, tmp_path: Path
) -> None:
    start_master(peer, Configuration(tmp_path, group()))
    backup = start(node, Configuration(tmp_path, group(advskew=90)))
    backup.wait_for("became backup", SOON_S)
    assert backup.stop() == 0
    assert tap.advertisements == []


def test_a_stop_in_the_middle_of_the_start_is_a_clean_stop(node: Node, tmp_path: Path) -> None:
    """From the first line that it logs on, before systemd is told that it is ready."""
    configuration = Configuration(tmp_path, *(group(vhid) for vhid in range(101, 151)))
    engine = start(node, configuration)
    engine.wait_for("became backup", SOON_S)
    assert engine.stop() == 0
    assert "stopping on SIGTERM" in engine.log


def test_usr1_logs_the_status_of_each_group(node: Node, tmp_path: Path) -> None:
    engine = start_master(node, Configuration(tmp_path, group(), group(101, name="other")))
    send(engine, signal.SIGUSR1)
    engine.wait_for(f"{GROUP}: MASTER on eth0 id 100 (no advertisement from the master)", SOON_S)
    engine.wait_for("other: MASTER on eth0 id 101 (no advertisement from the master)", SOON_S)
    node.pull_cable()
    engine.wait_for("other: became fault", SOON_S)
    after = engine.log_size
    send(engine, signal.SIGUSR1)
    engine.wait_for(f"{GROUP}: FAULT on eth0 id 100 (the link of eth0 is down)", SOON_S, after)


def test_usr2_hands_over_and_does_not_take_it_back_though_preempt_is_on(
    node: Node, peer: Node, tmp_path: Path
) -> None:
    preferred = start_master(node, Configuration(tmp_path, group(preempt=True)))
    other = start(peer, Configuration(tmp_path, group(advskew=32, preempt=True)))
    other.wait_for("became backup", SOON_S)
    delay = Delay(preferred, other)
    with HolderWatch([node, peer], VIP) as watch, Tap(node) as tap:
        send(preferred, signal.SIGUSR2)
        other.wait_for("became master: the master bowed out", SOON_S)
        tap.wait_for_more(10, 100, SOON_S)
        assert watch.holders_now() == {"peer"}
        assert watch.two_holders_s() < 0.05 + delay.s
        assert [change.node for change in watch.changes if change.held] == ["node", "peer"]
    assert preferred.log.count("became master") == 1
    other.stop()
    preferred.wait_for(re.compile("became master: the master bowed out"), SOON_S)


def test_usr2_without_a_backup_brings_the_address_back_after_the_master_down_time(
    node: Node, tmp_path: Path
) -> None:
    engine = start_master(node, Configuration(tmp_path, group()))
    after = engine.log_size
    send(engine, signal.SIGUSR2)
    engine.wait_for("became backup: asked to step down", SOON_S, after)
    engine.wait_for("became master: no advertisement from the master", SOON_S, after)


def test_usr2_to_a_backup_changes_nothing(node: Node, peer: Node, tmp_path: Path) -> None:
    start_master(peer, Configuration(tmp_path, group()))
    backup = start(node, Configuration(tmp_path, group(advskew=90)))
    backup.wait_for("became backup", SOON_S)
    after = backup.log_size
    send(backup, signal.SIGUSR2)
    backup.wait_for("step down requested", SOON_S, after)
    with Tap(node) as tap:
        tap.wait_for_more(10, 100, SOON_S)
    assert "became" not in backup.log[after:]


def test_a_burst_of_signals_costs_neither_the_state_nor_an_advertisement(
    node: Node, tap: Tap, tmp_path: Path
) -> None:
    engine = start_master(node, Configuration(tmp_path, group()))
    tap.wait_for_more(1, 100, SOON_S)
    delay = Delay(engine)
    for _ in range(500):
        send(engine, signal.SIGUSR1)
        send(engine, signal.SIGHUP)
    tap.wait_for_more(5, 100, SOON_S)
    assert engine.log.count("became master") == 1
    expect_no_gap(tap, delay)
    assert engine.stop() == 0
    assert not holds(node)


def test_a_burst_of_stops_and_step_downs_still_ends_well(node: Node, tap: Tap, tmp_path: Path) -> None:
    engine = start_master(node, Configuration(tmp_path, group()))
    for _ in range(50):
        send(engine, signal.SIGUSR2)
        send(engine, signal.SIGTERM)
        send(engine, signal.SIGINT)
    assert engine.wait(SOON_S) == 0
    assert not holds(node)
    assert tap.wait_for(bows_out(100), SOON_S) == tap.advertisements[-1]
    assert "Traceback" not in engine.log
