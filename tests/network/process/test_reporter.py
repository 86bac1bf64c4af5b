"""The reporter as the engine's child: it may crash, hang and be killed, and the address does not move."""

import os
import select
import signal
from pathlib import Path

import pytest

from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process
from tests.support.daemon import (
    HTTP,
    NET_ADMIN_AND_RAW,
    Configuration,
    alive,
    expect_no_gap,
    group,
    holds,
    privileges_of,
    reporter_of,
    send,
    start,
    start_master,
)
from tests.support.tap import Tap
from tests.support.waits import SOON_S, Delay

pytestmark = pytest.mark.network


def started(node: Node, configuration: Configuration, *flags: str) -> Process:
    return start_master(node, configuration, *HTTP, *flags)


def test_one_runs_whatever_is_to_be_reported_for_people_may_ask(node: Node, tmp_path: Path) -> None:
    engine = start(node, Configuration(tmp_path, group()))
    engine.wait_for("the reporter runs", SOON_S)
    assert alive(reporter_of(engine))


def test_it_has_no_capability_and_can_get_none(node: Node, tmp_path: Path) -> None:
    engine = started(node, Configuration(tmp_path, group()))
    assert privileges_of(engine.pid)["CapEff"] == NET_ADMIN_AND_RAW
    for task in Path(f"/proc/{reporter_of(engine)}/task").iterdir():
        found = privileges_of(int(task.name))
        assert found["CapEff"] == found["CapPrm"] == found["CapInh"] == 0
        assert found["NoNewPrivs"] == 1


def test_killed_again_and_again_it_comes_back_and_nothing_else_moves(node: Node, tap: Tap, tmp_path: Path) -> None:
    engine = started(node, Configuration(tmp_path, group()))
    delay = Delay(engine)
    for _ in range(4):
        seen, killed = engine.log_size, reporter_of(engine)
        os.kill(killed, signal.SIGKILL)
        engine.wait_for("the reporter ended (signal SIGKILL): it is started again", SOON_S, seen)
        engine.wait_for("the reporter runs", SOON_S, seen)
        assert reporter_of(engine) != killed
    assert holds(node)
    assert engine.log.count("became") == 2
    expect_no_gap(tap, delay)


def test_at_the_end_it_goes_with_the_engine(node: Node, tap: Tap, tmp_path: Path) -> None:
    engine = started(node, Configuration(tmp_path, group()))
    reporter, before = reporter_of(engine), tap.mark()
    assert engine.stop() == 0
    assert not alive(reporter)
    tap.wait_for(lambda frame: frame.is_bow_out, SOON_S, before)
    assert "the reporter ended" not in engine.log


def test_one_that_hangs_does_not_hold_up_the_end_for_long(node: Node, tap: Tap, tmp_path: Path) -> None:
    engine = started(node, Configuration(tmp_path, group()))
    reporter = reporter_of(engine)
    os.kill(reporter, signal.SIGSTOP)
    before = tap.mark()
    send(engine, signal.SIGTERM)
    tap.wait_for(lambda frame: frame.is_bow_out, SOON_S, before)
    assert not holds(node)
    assert engine.wait(SOON_S) == 0
    assert not alive(reporter)


def test_it_leaves_the_signals_to_the_engine_and_ends_when_that_is_killed(node: Node, tmp_path: Path) -> None:
    engine = started(node, Configuration(tmp_path, group()))
    reporter = reporter_of(engine)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        os.kill(reporter, number)
    descriptor = os.pidfd_open(reporter)
    try:
        assert alive(reporter)
        send(engine, signal.SIGKILL)
        assert select.select([descriptor], [], [], SOON_S)[0]
    finally:
        os.close(descriptor)
        engine.kill()


def test_a_reload_with_other_settings_starts_another_one(node: Node, tap: Tap, tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, group(), beside={"http": "127.0.0.1:9112"})
    engine = start_master(node, configuration)
    delay = Delay(engine)
    for port in (9113, 9114):
        seen, before = engine.log_size, reporter_of(engine)
        configuration.beside["http"] = f"127.0.0.1:{port}"
        configuration.write()
        send(engine, signal.SIGHUP)
        engine.wait_for("the reporter runs", SOON_S, seen)
        assert not alive(before)
    seen = engine.log_size
    send(engine, signal.SIGHUP)
    engine.wait_for("the configuration was read again", SOON_S, seen)
    assert "the reporter" not in engine.log[seen:]
    assert engine.log.count("became") == 2
    expect_no_gap(tap, delay)


def test_a_pod_that_can_not_start_stays_says_why_and_starts_when_it_can(node: Node, tmp_path: Path) -> None:
    outside = Configuration(tmp_path, group(vip="192.0.2.100"))
    pod = ("--kubernetes", "--pod-name", "carp-1", "--pod-namespace", "carp", "--kubeconfig", "/nonexistent")
    engine = start(node, outside, *pod)
    engine.wait_for("no network of this machine has 192.0.2.100", SOON_S)
    engine.wait_for("the reporter runs", SOON_S)
    node.run(["ip", "address", "add", "192.0.2.11/24", "dev", "eth0"])
    engine.wait_for("became master", SOON_S)
    assert engine.log.count("no network of this machine has") == 1
    assert engine.stop() == 0
