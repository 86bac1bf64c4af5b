"""The command on files, and what it says where it can't do what was asked."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from carpsidecar.capture.pcap import LinkType, PcapReader
from carpsidecar.cli import main
from carpsidecar.cli.capture import parser
from tests.support.command import shell
from tests.support.unprivileged import WHY_NOT, can_be_unprivileged

FIXTURES = Path(__file__).parents[2] / "fixtures" / "ucarp"
RECORDED, EXCHANGE = str(FIXTURES / "vhid-42.pcap"), str(FIXTURES / "exchange.pcap")
PAGE = Path(__file__).parents[3] / "docs" / "man" / "carpsidecar.8"


def test_a_file_of_ucarps_is_shown_with_its_digests_verified(passphrase_file: str) -> None:
    ended = shell("capture", "-r", EXCHANGE, "--passphrase-file", passphrase_file, "--vip", "10.99.0.100")
    assert ended.returncode == 0
    lines = ended.stdout.splitlines()
    assert all(line.endswith(" digest ok") for line in lines)
    assert "10.99.0.12 > 224.0.0.18 CARP 2 vhid 42 advbase 1 advskew 100 every 1.391 s counter 29116" in lines[0]
    assert ended.stderr.splitlines()[0] == f"{len(lines)} packets: {len(lines)} CARP"


@pytest.mark.parametrize(("vip", "digest"), [("10.99.0.101", "bad"), ("10.99.0.100/24", "ok")])
def test_other_addresses_are_bad_digests(passphrase_file: str, vip: str, digest: str) -> None:
    ended = shell("capture", "-r", RECORDED, "--passphrase-file", passphrase_file, "--vip", vip, "--json")
    assert {json.loads(line)["digest"] for line in ended.stdout.splitlines()} == {digest}


def test_a_passphrase_too_long_for_carp_verifies_nothing(tmp_path: Path) -> None:
    (tmp_path / "long").write_text("x" * 20)
    (tmp_path / "long").chmod(0o600)
    ended = shell("capture", "-r", RECORDED, "--passphrase-file", str(tmp_path / "long"), "--vip", "10.99.0.100")
    assert ended.stdout.splitlines()[0].endswith("digest unverified")


def test_what_is_read_can_be_written_and_read_again(tmp_path: Path) -> None:
    copy = tmp_path / "copy.pcap"
    first = shell("capture", "-r", EXCHANGE, "-w", str(copy))
    again = shell("capture", "-r", str(copy))
    assert (first.returncode, again.stdout) == (0, first.stdout)
    with copy.open("rb") as file:
        assert PcapReader(file, "copy").link_type is LinkType.ETHERNET


def test_it_reads_and_writes_pipes(tmp_path: Path) -> None:
    command = ["sh", "-c", 'cat "$1" | python -m carpsidecar capture -r - -w - --count 2', "-", EXCHANGE]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ended = subprocess.run(command, capture_output=True, check=True, env={**os.environ, "PATH": path})
    (tmp_path / "out.pcap").write_bytes(ended.stdout)
    assert len(shell("capture", "-r", str(tmp_path / "out.pcap")).stdout.splitlines()) == 2


def test_it_ends_after_as_many_packets_as_asked_for() -> None:
    assert len(shell("capture", "-r", EXCHANGE, "--count", "3").stdout.splitlines()) == 3


def test_a_file_that_is_cut_short_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(Path(EXCHANGE).read_bytes()[:-1])
    ended = shell("capture", "-r", str(cut))
    assert ended.returncode == 1
    assert len(ended.stdout.splitlines()) == len(shell("capture", "-r", EXCHANGE).stdout.splitlines()) - 1
    assert ended.stderr.splitlines()[-1].startswith(f"carpsidecar capture: {cut}: cut short in packet ")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["-r", "/nonexistent"], 1, "--read: '/nonexistent' can't be read (No such file or directory)"),
        (["-r", "/"], 1, "--read: '/' can't be read (Is a directory)"),
        (["-r", __file__], 1, "no pcap file: give one that tcpdump, Wireshark or `carpsidecar capture -w` wrote"),
        (["-r", RECORDED, "-w", "/nonexistent/x"], 1, "--write: '/nonexistent/x' can't be written (No such file"),
        (["-r", RECORDED, "-w", "/dev/full"], 1, "--write: '/dev/full' can't be written (No space left"),
        (["-i", "nowhere0"], 1, "there is no interface 'nowhere0': see `ip link`"),
        (["-i", "lo", "-r", RECORDED], 2, "--interface and --read: give one of the two"),
        (["-r", RECORDED, "-w", RECORDED], 2, "--read and --write: the same file"),
        (["-r", RECORDED, "--vip", "10.0.0.1"], 2, "--passphrase-file and --vip: a digest covers both"),
        (["-r", RECORDED, "--count", "0"], 2, "--count: '0' is no number of packets"),
        (["-r", RECORDED, "--count", "all"], 2, "--count: 'all' is no number of packets"),
        (["--frobnicate"], 2, "unknown option --frobnicate"),
    ],
)
def test_what_can_not_be_done_is_one_line(arguments: list[str], status: int, message: str) -> None:
    ended = shell("capture", *arguments)
    assert (ended.returncode, "Traceback" in ended.stderr) == (status, False)
    line = ended.stderr.splitlines()[-1]
    assert line.startswith("carpsidecar capture: ")
    assert message in line


@pytest.mark.parametrize("vip", ["nonsense", "10.0.0.300"])
def test_an_address_that_is_none(passphrase_file: str, vip: str) -> None:
    ended = shell("capture", "-r", RECORDED, "--passphrase-file", passphrase_file, "--vip", vip)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"--vip: {vip!r} is no IP address: give one such as" in ended.stderr


@pytest.mark.skipif(not can_be_unprivileged(), reason=WHY_NOT)
def test_without_the_right_to_listen() -> None:
    ended = shell("capture", "-i", "lo", unprivileged=True)
    assert ended.returncode == 1
    assert ended.stderr == "carpsidecar capture: no right to listen: CAP_NET_RAW is needed: run it as root\n"


def test_help_has_examples_and_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["capture", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "examples:" in shown
    assert "exit status:" in shown


def test_the_manual_has_its_options() -> None:
    section = PAGE.read_text().partition(".Ss Capture")[2].partition(".Ss ")[0]
    named = {f"-{word}".replace("\\-", "-") for word in re.findall(r"Fl (\S+)", section)}
    options = {name for action in parser()._actions for name in action.option_strings}
    assert options - {"-h", "--help"} <= named
