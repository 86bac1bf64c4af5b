"""The drop-in, from start lines of existing installations to the engine's configuration, output and exit status."""

import logging
import shlex
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from carpsidecar import logs
from carpsidecar.cli import main, ucarp_interface
from carpsidecar.cli.ucarp_options import OPTIONS
from carpsidecar.config.group import GroupConfig
from carpsidecar.config.schema import ConfigError
from tests.unit.cli.conftest import FakeEngine, StartError

LEAST = "-i lo -v 42 -p love -a 10.1.1.252 -s 10.1.1.1 -f none"


@pytest.fixture(autouse=True)
def any_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name is that of an interface that is up, and eth0 the one that is found where none is given."""
    monkeypatch.setattr(ucarp_interface, "why_unusable", lambda name: None)
    monkeypatch.setattr(ucarp_interface, "find_interface", lambda source: "eth0")


def group_of(engine: FakeEngine, line: str) -> GroupConfig:
    assert main(["ucarp", *shlex.split(line)]) == 0
    assert engine.config
    [group] = engine.config.groups
    return group


# From ucarp's README, its manual page and its help, and what Debian's /etc/network/if-up.d/ucarp puts together.
START_LINES = {
    "readme": "-v 42 -p love -a 10.1.1.252 -s 10.1.1.1",
    "help": "--interface=eth0 --srcip=10.1.1.1 --vhid=1 --pass=mypassword --addr=10.1.1.252"
    " --upscript=/etc/vip-up.sh --downscript=/etc/vip-down.sh",
    "manual, master": "-i eth0 -s 10.1.1.10 -v 10 -p secret -a 10.1.1.252 --upscript=/etc/vip-up.sh"
    " --downscript=/etc/vip-down.sh -P",
    "manual, backup": "-i eth0 -s 10.1.1.11 -v 10 -p secret -a 10.1.1.252 --upscript=/etc/vip-up.sh"
    " --downscript=/etc/vip-down.sh",
    "manual, broadcast": "-b 5 -s 192.168.1.19 -v 27 -p badpass -a 10.1.12.7 -u /etc/vip-up.sh"
    " -d /etc/vip-down.sh -z",
    "manual, standby": "-b 5 -k 50 -s 192.168.1.20 -v 27 -p badpass -a 10.1.12.7 -u /etc/vip-up.sh"
    " -d /etc/vip-down.sh -z",
    "debian": "-i eth0 -s 10.0.0.2 -z -v 3 -p 16charsatmost -a 10.0.0.1 -u /usr/share/ucarp/vip-up"
    " -d /usr/share/ucarp/vip-down -P -k 0 -b 1 -r 3 -M -x more",
}


@pytest.mark.parametrize("line", START_LINES.values(), ids=START_LINES)
def test_a_start_line_of_an_existing_installation_works(line: str, engine: FakeEngine) -> None:
    group = group_of(engine, line)
    assert group.interface == "eth0"
    assert not group.holds_addresses


def test_the_group_that_debians_line_stands_for(engine: FakeEngine) -> None:
    group = group_of(engine, START_LINES["debian"])
    assert (group.name, group.vhid, group.passphrase.secret) == ("vhid-3", 3, b"16charsatmost")
    assert [str(address.ip) for address in group.addresses] == ["10.0.0.1"]
    assert group.sources == (IPv4Address("10.0.0.2"),)
    assert group.settings.preempt
    assert group.destination.broadcast
    assert group.destination.multicast == (IPv4Address("224.0.0.18"),)
    assert group.families == (4,)
    hooks = group.hooks
    assert hooks.on_master == ("/usr/share/ucarp/vip-up",)
    assert hooks.on_backup == hooks.on_fault == ("/usr/share/ucarp/vip-down",)
    assert hooks.extra == ("more",)
    assert (hooks.backup_at_start, hooks.backup_at_stop, hooks.timeout_s) == (True, True, 86400)


def test_a_script_is_one_word_whatever_its_name(engine: FakeEngine) -> None:
    hooks = group_of(engine, f"{LEAST} -u '/etc/my script.sh'").hooks
    assert (hooks.on_master, hooks.on_backup, hooks.extra) == (("/etc/my script.sh",), (), ())


def test_neutral_and_shutdown_say_when_the_down_script_runs(engine: FakeEngine) -> None:
    hooks = group_of(engine, f"{LEAST} -n -z").hooks
    assert (hooks.backup_at_start, hooks.backup_at_stop) == (False, True)
    hooks = group_of(engine, LEAST).hooks
    assert (hooks.backup_at_start, hooks.backup_at_stop) == (True, False)


def test_the_engine_is_not_told_how_to_reload_so_that_hup_ends_it_as_there(engine: FakeEngine) -> None:
    group_of(engine, LEAST)
    assert engine.reload is None


def test_debug_says_more(engine: FakeEngine) -> None:
    group_of(engine, f"{LEAST} -D")
    assert engine.config
    assert engine.config.log_level == "debug"


def test_no_option_at_all_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ucarp"]) == 0
    shown = capsys.readouterr().out
    for option in OPTIONS:
        assert f"-{option.short}, --{option.shown or option.long}" in shown


def test_an_unknown_option_shows_the_help_and_says_which_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ucarp", "--foo"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("usage: ucarp")
    assert shown.err == "ucarp: option --foo not recognized: see the help on the standard output\n"


def test_a_bad_option_is_one_line(engine: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ucarp", *LEAST.split(), "-v", "300"]) == 1
    assert capsys.readouterr().err == "ucarp: -v: '300' is out of range: give a number from 1 to 255\n"
    assert engine.config is None


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("-p 01234567890123456789", "the passphrase has 20 bytes, and CARP takes at most 19"),
        ("-m 10.0.0.1", "10.0.0.1 is no multicast group"),
    ],
)
def test_what_keeps_it_from_starting_is_one_line(
    more: str, message: str, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ucarp", *LEAST.split(), *more.split()]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("ucarp: ")
    assert message in line
    assert "0123456789" not in line


@pytest.mark.parametrize("error", [StartError("no privilege"), ConfigError("no privilege")])
def test_an_engine_that_can_not_start(
    error: Exception, engine: FakeEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    engine.error = error
    assert main(["ucarp", *LEAST.split()]) == 2
    assert capfd.readouterr().err.splitlines()[-1] == "ucarp: no privilege"


def test_a_bug_is_called_one(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.error = ZeroDivisionError("division by zero")
    assert main(["ucarp", *LEAST.split()]) == 2
    shown = capfd.readouterr().err
    assert "this is a bug" in shown.splitlines()[-1]
    assert "Traceback" not in shown


def test_warnings_go_to_stderr_and_the_rest_to_stdout(
    engine: FakeEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    engine.while_running = lambda: logs.log(logging.INFO, "x", "became backup", group="vhid-42")
    assert main(["ucarp", *LEAST.split()]) == 0
    shown = capfd.readouterr()
    assert all(": [WARNING] " in line for line in shown.err.splitlines())
    assert shown.out.endswith(": [INFO] became backup\n")


def test_an_address_for_broadcasts_need_not_be_multicast(engine: FakeEngine) -> None:
    assert group_of(engine, f"{LEAST} -M -m 10.0.0.255").destination.multicast == (IPv4Address("10.0.0.255"),)


class TestSyslog:
    """What arrives at the other end of /dev/log."""

    @pytest.fixture
    def daemon(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
        path = str(tmp_path / "log")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
            listening.bind(path)
            listening.settimeout(10)
            monkeypatch.setattr("carpsidecar.cli.ucarp.SYSLOG_PATH", path)
            yield listening

    def test_the_log_goes_there_with_its_facility(self, engine: FakeEngine, daemon: socket.socket) -> None:
        assert main(["ucarp", *LEAST.split(), "-f", "local0"]) == 0
        packet = daemon.recv(4096).decode()
        assert packet.startswith(f"<{16 << 3 | 4}>")
        assert "ucarp[" in packet
        assert "]: [WARNING] " in packet

    def test_so_does_what_keeps_it_from_starting(self, daemon: socket.socket) -> None:
        assert main(["ucarp", "-v", "300"]) == 1
        packet = daemon.recv(4096).decode()
        assert packet.startswith(f"<{3 << 3 | 3}>")
        assert packet.endswith("]: [ERROR] -v: '300' is out of range: give a number from 1 to 255")

    def test_nothing_goes_there_with_none(self, engine: FakeEngine, daemon: socket.socket) -> None:
        assert main(["ucarp", *LEAST.split()]) == 0
        daemon.setblocking(False)
        with pytest.raises(BlockingIOError):
            daemon.recv(4096)


def test_a_machine_without_syslog_is_no_trouble(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("carpsidecar.cli.ucarp.SYSLOG_PATH", "/nonexistent")
    assert main(["ucarp", *LEAST.split(), "-f", "daemon"]) == 0
