"""`carpsidecar config`: what is printed is true, complete and without the secret."""

import json
from pathlib import Path

import pytest

from carpsidecar.cli import main
from carpsidecar.config.json_schema import json_schema
from carpsidecar.config.sources import load
from tests.unit.cli.conftest import FakeEngine

FILE = """
advskew: 7
log_level: debug
passphrase: hunter2
groups:
- {name: web, vip: [192.0.2.100/24, "2001:db8::1"], vhid: 42, interface: eth0, preempt: true, hook_timeout_s: 5,
   on_master: "/bin/logger 'now master'", sync_group: both}
- {name: mail, vip: 192.0.2.101, vhid: 43, peer: [192.0.2.1, 192.0.2.2], source: 192.0.2.3, advbase: 2}
"""


def test_what_is_printed_is_a_configuration_once_the_secret_is_added(
    engine: FakeEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "carp.yaml"
    path.write_text(FILE)
    assert main(["config", "check", "--config", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "hunter2" not in printed
    copy = tmp_path / "copy.yaml"
    copy.write_text(printed)
    assert load({}, {"CARP_PASSPHRASE": "hunter2"}, str(copy)).groups == load({}, {}, str(path)).groups


def test_warnings_are_shown(engine: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--vip", "192.0.2.5", "--interface", "lo", "--passphrase", "hunter2", "--dead-ratio", "1"]
    assert main(["config", "check", *flags]) == 0
    shown = capsys.readouterr()
    assert len(shown.err.splitlines()) == 2
    assert all(line.startswith("carpsidecar: warning: ") for line in shown.err.splitlines())
    assert "hunter2" not in shown.out + shown.err


def test_what_a_run_would_wait_for_is_warned_of(
    engine: FakeEngine, passphrase_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ["--interface", "nosuch0", "--source", "203.0.113.9"]
    command = ["config", "check", "--vip", "192.0.2.5", "--vhid", "1", "--passphrase-file", passphrase_file, *here]
    assert main(command) == 0
    assert capsys.readouterr().err.splitlines() == [
        "carpsidecar: warning: interface: nosuch0 is not there: `run` waits for it: see `ip link`",
        "carpsidecar: warning: source: 203.0.113.9 is no address of this machine: `run` waits for it",
    ]


def test_an_error_is_one_line(engine: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "--vip", "192.0.2.5", "--passphrase", "x", "--vhid", "0"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "carpsidecar: --vhid: '0' can't be used: give a number from 1 to 65535\n"


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json_schema()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "give check or schema: see carpsidecar config --help"),
        (["verify"], "unknown command verify: see carpsidecar config --help"),
        (["--foo"], "unknown option --foo: see carpsidecar config --help"),
    ],
)
def test_a_bad_command_line(arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", *arguments]) == 2
    assert capsys.readouterr().err == f"carpsidecar config: {problem}\n"
