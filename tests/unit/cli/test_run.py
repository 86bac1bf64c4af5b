"""`carpsidecar run`: from flags to the engine."""

import subprocess
import sys
from pathlib import Path

import pytest

from carpsidecar.cli import main
from carpsidecar.cli.run import parser
from carpsidecar.config.schema import GROUP_FIELDS, PROCESS_FIELDS, ConfigError
from carpsidecar.config.sources import flag_name
from tests.support.command import shell
from tests.unit.cli.conftest import FakeEngine

LEAST = ["run", "--vip", "192.0.2.100", "--vhid", "42"]


def test_flags_become_the_configuration(engine: FakeEngine, passphrase_file: str) -> None:
    flags = ["--vip", "192.0.2.101", "--advskew=9", "--preempt", "--no-ignore-link", "--hook-timeout", "5"]
    assert main([*LEAST, "--passphrase-file", passphrase_file, *flags]) == 0
    assert engine.config
    [group] = engine.config.groups
    assert [str(address.ip) for address in group.addresses] == ["192.0.2.100", "192.0.2.101"]
    assert (group.settings.advskew, group.settings.preempt, group.ignore_link) == (9, True, False)
    assert (group.hooks.timeout_s, group.passphrase.secret) == (5.0, b"secret")


def test_a_switch_can_be_switched_off_again(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARP_PREEMPT", "true")
    assert main([*LEAST, "--passphrase", "secret", "--no-preempt"]) == 0
    assert engine.config
    assert not engine.config.groups[0].settings.preempt


def test_the_status_of_the_engine_is_that_of_the_program(engine: FakeEngine) -> None:
    engine.status = 1
    assert main([*LEAST, "--passphrase", "secret"]) == 1


def test_warnings_go_to_the_log(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*LEAST, "--passphrase", "secret", "--log-format", "json"]) == 0
    line = capfd.readouterr().err
    assert '"level": "warning"' in line
    assert "use --passphrase-file" in line


def test_a_reload_reads_everything_again(engine: FakeEngine, tmp_path: Path) -> None:
    path = tmp_path / "carp.yaml"
    path.write_text("advskew: 1\npassphrase: secret\n")

    def edit_and_reload() -> None:
        assert engine.reload
        path.write_text("advskew: 2\npassphrase: secret\n")
        assert engine.reload().groups[0].settings.advskew == 2
        path.write_text("advskew: much\npassphrase: secret\n")
        with pytest.raises(ConfigError):
            engine.reload()

    engine.while_running = edit_and_reload
    assert main([*LEAST, "--config", str(path)]) == 0
    assert engine.config
    assert engine.config.groups[0].settings.advskew == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--foo"], "unknown option --foo"),
        (["--vhi", "3"], "unknown option --vhi"),
        (["--passphrase-fil=hunter2"], "unknown option --passphrase-fil"),
        (["-x"], "unknown option -x"),
        (["extra"], "'extra' is no option"),
        (["--vhid"], "--vhid: needs a value"),
        (["--vhid", "--preempt"], "--vhid: needs a value"),
    ],
)
def test_a_bad_command_line_is_one_line(
    arguments: list[str], line: str, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *arguments]) == 2
    assert capsys.readouterr().err == f"carpsidecar run: {line}: see carpsidecar run --help\n"
    assert engine.config is None


def test_every_setting_has_its_flag_in_the_help() -> None:
    shown = parser().format_help()
    for name, field in (GROUP_FIELDS | PROCESS_FIELDS).items():
        assert f"{flag_name(name)} " in shown or f"{flag_name(name)}," in shown
        if field.is_switch:
            assert f"--no-{flag_name(name)[2:]}" in shown
    assert "--config FILE" in shown


def test_a_value_may_begin_with_a_dash(engine: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*LEAST, "--passphrase=-secret-"]) == 0
    assert engine.config
    assert engine.config.groups[0].passphrase.secret == b"-secret-"


def test_a_run_without_a_file_loads_neither_yaml_nor_what_other_commands_need() -> None:
    unneeded = {
        "yaml",
        "carpsidecar.lab",
        "carpsidecar.cli.ucarp",
        "carpsidecar.cli.config",
        "carpsidecar.reporter",
    }
    program = (
        "import sys; from carpsidecar.cli import main;"
        "assert main(['run', '--vip', '192.0.2.1', '--vhid', '0', '--passphrase', 'x']) == 2;"
        f"print(sorted({unneeded!r} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


def test_the_engine_is_not_loaded_for_a_configuration_that_can_not_be_used() -> None:
    ended = shell("run", "--vip", "192.0.2.1", "--vhid", "0", "--passphrase", "x")
    assert ended.returncode == 2
