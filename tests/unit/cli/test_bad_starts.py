"""Starts that can't succeed, from a real shell: one line that says why, and the right exit status."""

import subprocess
from pathlib import Path

import pytest

from tests.support.command import shell
from tests.support.unprivileged import WHY_NOT, can_be_unprivileged

LEAST = ["--vip", "192.0.2.100", "--vhid", "42"]


def assert_refused(ended: "subprocess.CompletedProcess[str]", *message: str) -> None:
    assert ended.returncode == 2
    assert ended.stdout == ""
    [line] = ended.stderr.splitlines()
    assert line.startswith("carpsidecar")
    for text in message:
        assert text in line


def test_a_passphrase_file_that_is_missing() -> None:
    assert_refused(
        shell("run", *LEAST, "--passphrase-file", "/nonexistent"),
        "--passphrase-file: '/nonexistent'",
        "No such file",
    )


def test_a_passphrase_file_that_is_empty(tmp_path: Path) -> None:
    (tmp_path / "passphrase").touch()
    assert_refused(shell("run", *LEAST, "--passphrase-file", str(tmp_path / "passphrase")), "is empty")


@pytest.mark.skipif(not can_be_unprivileged(), reason=WHY_NOT)
def test_a_passphrase_file_that_is_unreadable(passphrase_file: str) -> None:
    ended = shell("run", *LEAST, "--passphrase-file", passphrase_file, unprivileged=True)
    assert_refused(ended, "--passphrase-file: ", "Permission denied")


def test_a_passphrase_file_that_everybody_can_read_is_only_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_text("secret\n")
    path.chmod(0o644)
    ended = shell("config", "check", *LEAST, "--passphrase-file", str(path))
    assert ended.returncode == 0
    assert f"chmod 600 {path}" in ended.stderr


def test_no_passphrase() -> None:
    assert_refused(shell("run", *LEAST), "passphrase: none is given")


def test_a_passphrase_that_is_too_long() -> None:
    assert_refused(shell("run", *LEAST, "--passphrase", "x" * 20), "20 bytes", "at most 19")


def test_no_vip(passphrase_file: str) -> None:
    assert_refused(shell("run", "--passphrase-file", passphrase_file), "vip: none is given")


def test_a_vhid_out_of_range(passphrase_file: str) -> None:
    ended = shell("run", "--vip", "192.0.2.1", "--passphrase-file", passphrase_file, "--vhid", "256")
    assert_refused(ended, "--vhid: '256'", "from 1 to 255")


def test_two_groups_with_one_vhid_on_one_interface(tmp_path: Path) -> None:
    path = tmp_path / "carp.yaml"
    path.write_text(
        "passphrase: secret\ninterface: eth0\ngroups:\n- {vip: 192.0.2.1, vhid: 7}\n- {vip: 192.0.2.2, vhid: 7}\n"
    )
    assert_refused(shell("run", "--config", str(path)), "vhid: 7", "two groups on eth0")


def test_an_unknown_option() -> None:
    assert_refused(shell("run", "--foo"), "unknown option --foo", "--help")


def test_broken_yaml(tmp_path: Path) -> None:
    path = tmp_path / "carp.yaml"
    path.write_text("vip: [192.0.2.1\nvhid: 42\n")
    assert_refused(shell("run", "--config", str(path)), f"{path}, line 2: not valid YAML")


def test_a_file_that_is_not_there() -> None:
    assert_refused(shell("run", "--config", "/nonexistent.yaml"), "/nonexistent.yaml: can't be read")


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("-i lo -v 42 -a 10.1.1.252 -s 10.1.1.1", 1, "no passphrase is given"),
        ("-i lo -v 42 -a 10.1.1.252 -s 10.1.1.1 -o /nonexistent", 1, "'/nonexistent' can't be read"),
        ("-i lo -v 256 -p love -a 10.1.1.252 -s 10.1.1.1", 1, "from 1 to 255"),
        ("-i nosuchif -v 42 -p love -a 10.1.1.252 -s 10.1.1.1", 2, "there is no interface 'nosuchif'"),
        ("-i nosuchif -v 42 -p love -a 10.1.1.252 -s 10.1.1.1 -B", 2, "there is no interface 'nosuchif'"),
        ("-i lo -v 42 -p 01234567890123456789 -a 10.1.1.252 -s 10.1.1.1", 2, "20 bytes"),
    ],
)
def test_the_drop_in(words: str, status: int, message: str) -> None:
    ended = shell("ucarp", *words.split(), "-f", "none")
    assert (ended.returncode, ended.stdout) == (status, "")
    [line] = ended.stderr.splitlines()
    assert line.startswith("ucarp: ")
    assert message in line
