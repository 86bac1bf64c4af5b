"""The runner of commands, with real ones."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from carpsidecar.engine import hooks
from carpsidecar.engine.hooks import HookRunner
from tests.support.logs import Logged
from tests.unit.engine.loops import Loop

TIME_TO_SET_TRAPS_S = 1
"""A shell takes some milliseconds, but on a busy machine more."""


class HooksBench:
    """A runner whose commands write into one file."""

    def __init__(self, loop: Loop, directory: Path) -> None:
        self.loop = loop
        self.finished: list[str] = []
        self.runner = HookRunner(loop.asyncio, "web", 20.0, self.finished.append)
        self.file = directory / "out"
        self.file.touch()

    @property
    def out(self) -> list[str]:
        return self.file.read_text().split("\n")[:-1]

    def run(self, label: str, script: str) -> None:
        self.runner.run(label, ("sh", "-c", script), {"OUT": str(self.file), "LABEL": label})

    def wait(self) -> None:
        self.loop.until(lambda: self.runner.idle)


@pytest.fixture
def bench(loop: Loop, tmp_path: Path) -> Iterator[HooksBench]:
    bench = HooksBench(loop, tmp_path)
    yield bench
    bench.runner.end()
    bench.wait()


def test_a_command_gets_our_environment_and_what_it_is_told(bench: HooksBench) -> None:
    bench.run("on_master", 'echo "$LABEL $HOME" > $OUT')
    assert not bench.runner.idle
    bench.wait()
    assert bench.out == [f"on_master {os.environ['HOME']}"]
    assert bench.finished == ["on_master"]
    assert bench.runner.results == {"ok": 1}


def test_what_gives_the_passphrase_is_taken_out_of_the_environment(
    bench: HooksBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CARP_PASSPHRASE", "CARP_PASSPHRASE_FILE", "CARP_PASSPHRASE_FD", "CARP_OTHER"):
        monkeypatch.setenv(name, "secret")
    bench.run("on_master", "env > $OUT")
    bench.wait()
    assert [line for line in bench.out if line.startswith("CARP_")] == ["CARP_OTHER=secret"]


def test_commands_run_one_at_a_time_and_in_order(bench: HooksBench) -> None:
    bench.run("first", "echo first begins >> $OUT; sleep 0.1; echo first ends >> $OUT")
    bench.run("second", "echo second >> $OUT")
    bench.loop.until(lambda: len(bench.finished) == 2)
    assert bench.out == ["first begins", "first ends", "second"]
    assert bench.finished == ["first", "second"]


def test_of_several_that_wait_only_the_newest_is_run(bench: HooksBench, logged: Logged) -> None:
    for number in range(5):
        bench.run(f"hook{number}", "echo $LABEL >> $OUT")
    bench.loop.until(lambda: len(bench.finished) == 2)
    assert bench.out == ["hook0", "hook4"]
    assert bench.runner.results == {"ok": 2, "skipped": 3}
    assert logged.lines[0] == "hook1 was not run: hook2 came after it"


def test_a_command_in_its_way_holds_up_neither_the_loop_nor_its_timers(bench: HooksBench) -> None:
    bench.run("on_master", "exec sleep 1000")
    ticks: list[int] = []
    for hundredth in range(10):
        bench.loop.asyncio.call_later(hundredth / 100, ticks.append, hundredth)
    bench.loop.until(lambda: len(ticks) == 10)
    assert not bench.runner.idle


@pytest.mark.parametrize(
    ("command", "said_of_it"),
    [
        (("/nowhere/to/be/found",), "No such file or directory"),
        (("/etc/passwd",), "Permission denied"),
        (("/",), "Permission denied"),
        (("",), "can't be run"),
        (("a\0b",), "embedded null byte"),
    ],
)
def test_a_command_that_cannot_be_run_is_said_and_counts_as_finished(
    bench: HooksBench, logged: Logged, command: tuple[str, ...], said_of_it: str
) -> None:
    bench.runner.run("on_master", command, {})
    assert bench.runner.idle
    bench.loop.until(lambda: bench.finished == ["on_master"])
    assert bench.runner.results == {"failed": 1}
    assert said_of_it in logged.lines[0]
    assert logged.events == ["hook_failed"]
    assert logged.keys == [{"group": "web", "hook": "on_master", "exit_status": None}]


def test_a_command_that_cannot_be_run_does_not_keep_the_next_one(bench: HooksBench) -> None:
    bench.run("first", "sleep 0.05")
    bench.runner.run("second", ("/nowhere/to/be/found",), {})
    bench.loop.until(lambda: len(bench.finished) == 2)
    bench.run("third", "echo third > $OUT")
    bench.wait()
    assert bench.out == ["third"]


def test_one_that_fails_is_said_and_the_next_one_runs(bench: HooksBench, logged: Logged) -> None:
    bench.run("first", "exit 3")
    bench.run("second", "kill -9 $$")
    bench.loop.until(lambda: len(bench.finished) == 2)
    assert logged.lines == ["first: exit status 3", "second: exit status -9"]
    assert [keys["exit_status"] for keys in logged.keys] == [3, -9]
    assert bench.runner.results == {"failed": 2}


def test_a_command_whose_time_is_up_is_asked_to_end(bench: HooksBench, logged: Logged) -> None:
    bench.runner.timeout_s = TIME_TO_SET_TRAPS_S
    bench.run("on_master", "trap 'echo asked >> $OUT; exit 0' TERM; while :; do sleep 0.01; done")
    bench.wait()
    assert bench.out == ["asked"]
    assert logged.lines == [f"on_master: still running after {TIME_TO_SET_TRAPS_S} s: ended"]
    assert bench.runner.results == {"timeout": 1}


def test_one_that_does_not_listen_is_killed(bench: HooksBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "_KILL_AFTER_S", 0.1)
    bench.runner.timeout_s = TIME_TO_SET_TRAPS_S
    bench.run("on_master", "trap '' TERM; while :; do sleep 0.01; done")
    bench.wait()
    assert bench.runner.results == {"timeout": 1}


def test_its_children_are_asked_too(bench: HooksBench) -> None:
    bench.runner.timeout_s = TIME_TO_SET_TRAPS_S
    child = "(trap 'echo child asked >> $OUT; exit' TERM; while :; do sleep 0.01; done)"
    bench.run("on_master", f"{child} & trap 'wait; exit' TERM; wait")
    bench.wait()
    assert bench.out == ["child asked"]


def test_the_children_of_one_whose_time_is_up_end_with_it(bench: HooksBench) -> None:
    """A child that does not listen to TERM must not outlive its parent that does."""
    bench.runner.timeout_s = TIME_TO_SET_TRAPS_S
    bench.run("on_master", "(trap '' TERM; exec sleep 1000) & echo $! >> $OUT; wait")
    bench.wait()
    child = int(bench.out[-1])
    bench.loop.until(lambda: not _alive(child))


def test_the_end_kills_what_runs_and_forgets_what_waits(bench: HooksBench) -> None:
    bench.run("first", "trap '' TERM; echo first >> $OUT; sleep 1000")
    bench.run("second", "echo second >> $OUT")
    bench.loop.until(lambda: bench.out == ["first"])
    bench.runner.end()
    bench.wait()
    bench.loop.a_while()
    assert bench.out == ["first"]


def test_a_command_has_a_session_of_its_own_and_default_signals(bench: HooksBench) -> None:
    bench.run("on_master", "ps -o sid= -p $$ > $OUT; echo $$ >> $OUT; grep SigIgn /proc/self/status >> $OUT")
    bench.wait()
    sid, pid, ignored = bench.out
    assert int(sid) == int(pid) != os.getsid(0)
    assert not int(ignored.split()[1], 16) >> (signal.SIGPIPE - 1) & 1


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
