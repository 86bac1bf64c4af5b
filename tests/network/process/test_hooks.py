"""Hooks: what they are given, when they run, and that nothing they do reaches the protocol."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from carpsidecar.engine.run import LAST_HOOKS_MAX_S
from carpsidecar.lab.node import Node
from tests.support.command import COMMAND
from tests.support.daemon import (
    LATE_S,
    PASSPHRASE,
    SLOWER,
    VIP,
    Configuration,
    expect_no_gap,
    group,
    holds,
    piped,
    script,
    send,
    start,
    start_master,
    wait_for_end,
)
from tests.support.tap import Tap, bows_out
from tests.support.waits import SOON_S, Delay

pytestmark = pytest.mark.network

TELL = (
    'echo "TOLD $(basename $0): $*; $CARP_GROUP, $CARP_ROLE, $CARP_INTERFACE, $CARP_VHID, $CARP_ADDRESSES,'
    ' $CARP_REASON"'
)
ENDLESS_AT_STOP = 'test "$CARP_REASON" = started || { echo "TOLD $$"; exec sleep 1000; }'
LESS_PATIENT = """
import sys
from carpsidecar.cli import main
from carpsidecar.engine import run
run.LAST_HOOKS_MAX_S = 1.0  # not 10, for the sake of whoever waits for these tests
sys.exit(main())
"""


def test_each_hook_is_given_what_happened_in_its_arguments_and_environment(node: Node, tmp_path: Path) -> None:
    hooks = {name: script(tmp_path, name, TELL) for name in ("on_master", "on_backup", "on_fault")}
    engine = start_master(node, Configuration(tmp_path, group(name="web", vip=[VIP, "10.99.0.200"], **hooks)))
    node.pull_cable()
    engine.wait_for("TOLD on_fault", SOON_S)
    node.plug_cable()
    engine.wait_for(re.compile("TOLD on_backup.*the link is back"), SOON_S)
    reported = [line.removeprefix("TOLD ") for line in engine.log.splitlines() if line.startswith("TOLD")]
    facts = "eth0, 100, 10.99.0.100 10.99.0.200"
    assert reported[:4] == [
        f"on_backup: eth0 {VIP}; web, backup, {facts}, started",
        f"on_master: eth0 {VIP}; web, master, {facts}, no advertisement from the master",
        f"on_fault: eth0 {VIP}; web, fault, {facts}, the link of eth0 is down",
        f"on_backup: eth0 {VIP}; web, backup, {facts}, the link is back",
    ]


def test_words_of_a_command_come_before_what_we_add(node: Node, tmp_path: Path) -> None:
    command = [script(tmp_path, "tell", 'echo "TOLD $#: $1, $2, $3, $4"'), "two words", "$HOME; exit"]
    engine = start_master(node, Configuration(tmp_path, group(on_master=command)))
    engine.wait_for(f"TOLD 4: two words, $HOME; exit, eth0, {VIP}", SOON_S)


def test_the_passphrase_is_not_in_a_hooks_environment(node: Node, tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, group(on_backup=script(tmp_path, "all", "env; echo TOLD all")))
    engine = start(node, configuration, env={"CARP_PASSPHRASE": PASSPHRASE, "CARP_LOG_LEVEL": "debug"})
    engine.wait_for("TOLD all", SOON_S)
    assert "CARP_ROLE=backup" in engine.log
    assert PASSPHRASE not in engine.log
    assert "CARP_PASSPHRASE" not in engine.log


def test_advertisements_go_out_on_time_while_a_hook_sleeps(node: Node, tap: Tap, tmp_path: Path) -> None:
    slow = script(tmp_path, "slow", "echo TOLD asleep; exec sleep 100")
    engine = start(node, Configuration(tmp_path, group(on_master=slow)))
    delay = Delay(engine)
    engine.wait_for("TOLD asleep", SOON_S)
    tap.wait_for_more(10, 100, SOON_S)
    expect_no_gap(tap, delay)
    assert holds(node)


def test_fifty_hooks_of_fifty_groups_sleep_at_once_and_every_group_advertises_on_time(
    node: Node, tap: Tap, tmp_path: Path
) -> None:
    slow = script(tmp_path, "slow", "echo TOLD $CARP_GROUP sleeps; exec sleep 100")
    vhids = range(101, 151)
    engine = start(node, Configuration(tmp_path, *(group(vhid, on_master=slow, **SLOWER) for vhid in vhids)))
    delay = Delay(engine)
    for vhid in vhids:
        engine.wait_for(f"TOLD vhid-{vhid} sleeps", SOON_S)
    tap.wait_for_more(6, 150, SOON_S)
    expect_no_gap(tap, delay, *vhids, late_s=2 * LATE_S)


def test_a_hook_that_floods_an_output_which_nobody_reads_holds_up_only_itself(
    node: Node, tap: Tap, tmp_path: Path
) -> None:
    configuration = Configuration(tmp_path, group(on_master=script(tmp_path, "flood", "exec yes")))
    argv = [*COMMAND, "run", *configuration.flags]
    with piped(node, argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as engine:
        delay = Delay(engine)
        tap.wait_for_more(10, 100, SOON_S)
        expect_no_gap(tap, delay)
        assert engine.poll() is None


def test_a_hook_that_cannot_do_its_work_is_named_in_the_log_and_changes_nothing(
    node: Node, tap: Tap, tmp_path: Path
) -> None:
    not_executable = Path(script(tmp_path, "not-executable", "exit 0"))
    not_executable.chmod(0o644)
    hooks = {
        101: "/nowhere/to/be/found",
        102: str(not_executable),
        103: script(tmp_path, "fails", "exit 3"),
        104: script(tmp_path, "dies", "kill -9 $$"),
    }
    configuration = Configuration(tmp_path, *(group(vhid, on_master=hook) for vhid, hook in hooks.items()))
    engine = start_master(node, configuration)
    remedy = "check its path, and that it is executable"
    for logged in (
        f"vhid-101: on_master: {hooks[101]} can't be run (No such file or directory): {remedy}",
        f"vhid-102: on_master: {hooks[102]} can't be run (Permission denied): {remedy}",
        "vhid-103: on_master: exit status 3",
        "vhid-104: on_master: exit status -9",
    ):
        assert " WARNING " in engine.wait_for(logged, SOON_S)
    for vhid in hooks:
        tap.wait_for_more(2, vhid, SOON_S)
        assert holds(node, f"10.99.0.{vhid}")


def test_a_hook_whose_time_is_up_is_ended_with_all_its_children(node: Node, tmp_path: Path) -> None:
    stubborn = """
trap 'echo TOLD term' TERM
(trap '' TERM; echo "TOLD child $(exec sh -c 'echo $PPID')"; while :; do sleep 1; done) &
while :; do wait; done
"""
    hook = script(tmp_path, "stubborn", stubborn)
    engine = start(node, Configuration(tmp_path, group(on_backup=hook, hook_timeout_s=1.5)))
    child = int(engine.wait_for("TOLD child", SOON_S).split()[-1])
    engine.wait_for("TOLD term", SOON_S)
    engine.wait_for("on_backup: still running after 1.5 s: ended", SOON_S)
    engine.wait_for("became master", SOON_S)
    wait_for_end(child)


def test_the_backup_hook_runs_when_a_master_stops_and_is_waited_for(node: Node, tmp_path: Path) -> None:
    farewell = script(tmp_path, "farewell", "sleep 0.5; echo TOLD $CARP_ROLE, $CARP_REASON")
    engine = start_master(node, Configuration(tmp_path, group(on_master="/bin/true", on_backup=farewell)))
    engine.wait_for("TOLD backup, started", SOON_S)
    assert engine.stop() == 0
    assert engine.log.splitlines()[-1] == "TOLD init, stopped"


def test_the_backup_hook_does_not_run_when_a_backup_stops(node: Node, tmp_path: Path) -> None:
    hook = script(tmp_path, "hook", "echo TOLD $CARP_REASON")
    engine = start(node, Configuration(tmp_path, group(on_backup=hook, advbase=10)))
    engine.wait_for("TOLD started", SOON_S)
    assert engine.stop() == 0
    assert engine.log.count("TOLD") == 1


def test_the_last_hook_is_not_waited_for_for_ever(node: Node, tap: Tap, tmp_path: Path) -> None:
    endless = script(tmp_path, "endless", ENDLESS_AT_STOP)
    configuration = Configuration(tmp_path, group(on_master="/bin/true", on_backup=endless))
    engine = node.start([sys.executable, "-c", LESS_PATIENT, "run", *configuration.flags])
    engine.wait_for("became master", SOON_S)
    begin = time.monotonic()
    send(engine, signal.SIGTERM)
    hook = int(engine.wait_for("TOLD", SOON_S).split()[-1])
    assert not holds(node)
    assert engine.wait(SOON_S) == 0
    assert 1 <= time.monotonic() - begin < LAST_HOOKS_MAX_S - 1
    wait_for_end(hook)
    assert tap.wait_for(bows_out(100), SOON_S) == tap.advertisements[-1]


def test_a_second_stop_does_not_wait_for_the_last_hook(node: Node, tmp_path: Path) -> None:
    endless = script(tmp_path, "endless", ENDLESS_AT_STOP)
    engine = start_master(node, Configuration(tmp_path, group(on_master="/bin/true", on_backup=endless)))
    send(engine, signal.SIGTERM)
    hook = int(engine.wait_for("TOLD", SOON_S).split()[-1])
    begin = time.monotonic()
    send(engine, signal.SIGTERM)
    assert engine.wait(SOON_S) == 0
    assert time.monotonic() - begin < LAST_HOOKS_MAX_S - 1
    wait_for_end(hook)
