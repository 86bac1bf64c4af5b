"""Which command runs, and what each way to end means to whoever called."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from carpsidecar.cli import COMMANDS, main
from carpsidecar.config.schema import ConfigError
from tests.support.command import shell
from tests.unit.cli.conftest import FakeEngine, StartError

RUN = ["run", "--vip", "192.0.2.100", "--vhid", "42", "--passphrase", "secret"]


def test_no_command_shows_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert all(f"  {name} " in capsys.readouterr().err for name in list(COMMANDS)[:1])


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_shows_every_command(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([flag]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)
    assert "exit status" in shown
    assert "example" in shown


@pytest.mark.parametrize(("name", "kind"), [("start", "command"), ("--foo", "option"), ("", "command")])
def test_an_unknown_command_is_one_line(name: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name]) == 2
    assert capsys.readouterr().err == f"carpsidecar: unknown {kind} {name}: see carpsidecar --help\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["ucarp"],
        ["config"],
        ["config", "check"],
        ["config", "schema"],
        ["version"],
        ["demo"],
        ["status"],
        ["step-down"],
        ["drain"],
    ],
    ids=" ".join,
)
def test_every_command_has_its_own_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.lower().startswith("usage: ")
    if arguments != ["demo"]:
        assert "example" in shown.lower()


def test_the_name_ucarp_stands_for_the_command(monkeypatch: pytest.MonkeyPatch, engine: FakeEngine) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/sbin/ucarp", "-v", "300"])
    assert main() == 1


def test_the_program_can_be_started_by_a_link_called_ucarp(tmp_path: Path) -> None:
    link = tmp_path / "ucarp"
    link.symlink_to(Path(__file__).parents[3] / "cmd/carpsidecar/main.py")
    for program in (link, Path(__file__).parents[3] / "cmd/ucarp/main.py"):
        ended = subprocess.run([sys.executable, program, "-v", "300"], capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr) == (
            1,
            "ucarp: -v: '300' is out of range: give a number from 1 to 255\n",
        )


def test_a_configuration_that_can_not_be_used(engine: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    engine.error = ConfigError("interface: none is on the way to 192.0.2.100")
    assert main(RUN) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "carpsidecar: interface: none is on the way to 192.0.2.100"


def test_a_start_that_fails(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.error = StartError("needs CAP_NET_RAW: run it as root")
    assert main(RUN) == 1
    assert capfd.readouterr().err.splitlines()[-1] == "carpsidecar: needs CAP_NET_RAW: run it as root"


def test_ctrl_c_before_the_engine_listens_to_it(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.error = KeyboardInterrupt()
    assert main(RUN) == 130
    assert "Traceback" not in capfd.readouterr().err


def test_a_bug_is_called_one_without_its_traceback(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.error = ZeroDivisionError("division\nby zero")
    assert main(RUN) == 1
    line = capfd.readouterr().err.splitlines()[-1]
    assert line.startswith("carpsidecar: unexpected ZeroDivisionError: division\\nby zero: this is a bug")


def test_debugging_shows_the_traceback_of_a_bug(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.error = ZeroDivisionError("division by zero")
    assert main([*RUN, "--log-level", "debug"]) == 1
    assert "Traceback" in capfd.readouterr().err


def test_debugging_shows_the_traceback_even_of_a_bug_before_the_log_starts(
    engine: FakeEngine, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("carpsidecar.cli.run.load", lambda *source: 1 / 0)
    assert main([*RUN, "--log-level", "debug"]) == 1
    assert "Traceback" in capfd.readouterr().err


def test_a_reader_who_left_is_no_bug() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-m", "carpsidecar", "config", "schema"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, b"")


def test_version() -> None:
    ended = shell("version")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("carpsidecar ")
