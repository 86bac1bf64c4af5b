"""The log of a running process: for people and for machines, and never in the way."""

import fcntl
import os
import re
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from carpsidecar.lab.namespace import run_in
from carpsidecar.lab.node import Node
from carpsidecar.protocol.packet import header, pack
from tests.support.command import COMMAND
from tests.support.daemon import (
    GROUP,
    PASSPHRASE,
    Configuration,
    expect_no_gap,
    group,
    json_lines,
    piped,
    send,
    start,
    start_master,
)
from tests.support.tap import Tap, advertises
from tests.support.waits import SOON_S, Delay

pytestmark = pytest.mark.network

WITH_A_BUG = """
import sys
from carpsidecar.cli import main
from carpsidecar.engine.engine import Engine

def status_lines(engine):
    raise ZeroDivisionError("a bug")

Engine.status_lines = status_lines
sys.exit(main())
"""


def test_people_read_a_line_for_each_change_with_its_reason(node: Node, tmp_path: Path) -> None:
    engine = start_master(node, Configuration(tmp_path, group(name="web")))
    engine.stop()
    time_and_level = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4} INFO "
    lines = engine.log.splitlines()
    assert all(re.match(time_and_level, line) for line in lines)
    logged = [re.sub(time_and_level, "", line) for line in lines]
    # It writes by itself, whenever it has come so far.
    logged.remove("the reporter runs")
    assert logged == [
        "web: became backup: started",
        "web: became master: no advertisement from the master",
        "stopping on SIGTERM",
        "web: became init: stopped",
    ]


def test_the_journal_has_times_of_its_own(node: Node, tmp_path: Path) -> None:
    engine = start(node, Configuration(tmp_path, group()), env={"JOURNAL_STREAM": "8:1234"})
    assert engine.wait_for("became backup", SOON_S) == f"INFO {GROUP}: became backup: started"


def test_machines_read_the_same_with_stable_keys(node: Node, peer: Node, tmp_path: Path) -> None:
    engine = start(node, Configuration(tmp_path, group(name="web", advskew=60)), "--log-format", "json")
    engine.wait_for('"role": "master"', SOON_S)
    start(peer, Configuration(tmp_path, group(advskew=30, preempt=True)))
    engine.wait_for("a better master advertises", SOON_S)
    node.pull_cable()
    engine.wait_for('"role": "fault"', SOON_S)
    changes = [line for line in json_lines(engine.log) if line["event"] == "transition"]
    assert [(line["role"], line["reason"], line["peer"]) for line in changes] == [
        ("backup", "started", None),
        ("master", "no advertisement from the master", None),
        ("backup", "a better master advertises", str(peer.address)),
        ("fault", "the link of eth0 is down", None),
    ]
    for line in changes:
        assert {"time", "level", "event", "message", "group", "role", "reason", "interface", "peer"} == line.keys()
        assert (line["level"], line["group"], line["interface"]) == ("info", "web", "eth0")


def test_the_level_leaves_out_what_is_less_important(node: Node, tap: Tap, tmp_path: Path) -> None:
    engine = start(node, Configuration(tmp_path, group()), "--log-level", "warning")
    tap.wait_for_more(2, 100, SOON_S)
    assert engine.log == ""


def test_neither_passphrase_nor_digest_is_ever_logged(node: Node, tmp_path: Path) -> None:
    engine = start_master(node, Configuration(tmp_path, group()), "--log-level", "debug")
    engine.stop()
    assert PASSPHRASE not in engine.log


def test_a_flood_of_bad_packets_fills_no_log_and_holds_up_nothing(
    node: Node, peer: Node, tap: Tap, tmp_path: Path
) -> None:
    engine = start(node, Configuration(tmp_path, group()), "--log-format", "json")
    tap.wait_for_more(1, 100, SOON_S)
    delay = Delay(engine)
    flood = run_in(peer.ns, _raw_socket)
    for number in range(20_000):
        source = socket.inet_aton(f"10.99.{number % 200}.{1 + number % 250}")
        flood.sendto(_bad_advertisement(source), ("224.0.0.18", 0))
    flood.close()
    tap.wait_for_more(3, 100, SOON_S)
    engine.wait_for("bad digest", SOON_S)
    logged = [line for line in engine.log.splitlines() if "bad digest" in line]
    assert 1 <= len(logged) <= 20
    assert engine.log.count('"role"') == 2
    expect_no_gap(tap, delay)
    dropped = [line for line in json_lines(engine.log) if line["event"] == "packet_dropped"]
    assert {line["reason"] for line in dropped} == {"digest"}
    assert {line["interface"] for line in dropped} == {"eth0"}


def test_a_reader_of_the_log_that_is_stopped_holds_up_nothing(node: Node, tap: Tap, tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, *(group(100 + n) for n in range(10)))
    argv = [*COMMAND, "run", *configuration.flags]
    with piped(node, argv, stderr=subprocess.PIPE) as engine:
        assert engine.stderr is not None
        fcntl.fcntl(engine.stderr, fcntl.F_SETPIPE_SZ, 4096)
        tap.wait_for_more(1, 109, SOON_S)
        delay = Delay(engine)
        for _ in range(60):
            heard = tap.mark()
            for _ in range(20):
                engine.send_signal(signal.SIGUSR1)
            tap.wait_for(advertises(), SOON_S, heard)
        tap.wait_for_more(3, 100, SOON_S)
        expect_no_gap(tap, delay)
        heard = tap.mark()
        engine.send_signal(signal.SIGTERM)
        tap.wait_for(lambda frame: frame.is_bow_out, SOON_S, heard)
        logged = engine.stderr.read().decode()
        assert engine.wait(SOON_S) == 0
    assert "became master" in logged


def test_a_bug_is_one_entry_of_the_log_and_ends_nothing_else(node: Node, tap: Tap, tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, group())
    engine = node.start([sys.executable, "-c", WITH_A_BUG, "run", *configuration.flags, "--log-format", "json"])
    engine.wait_for('"role": "master"', SOON_S)
    engine.wait_for("the reporter runs", SOON_S)
    for _ in range(2):
        after = engine.log_size
        send(engine, signal.SIGUSR1)
        (bug,) = json_lines(engine.wait_for('"event": "bug"', SOON_S, after))
        assert bug["level"] == "error"
        assert bug["message"].startswith("unexpected, please report it: ")
        assert "in status_lines" in bug["message"]
        assert "ZeroDivisionError: a bug" in bug["message"]
        tap.wait_for_more(2, 100, SOON_S)
    assert len(json_lines(engine.log)) == 5, "and nothing that is no entry"
    assert engine.stop() == 0


def _raw_socket() -> socket.socket:
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    interface = struct.pack("=4s4si", b"", b"", socket.if_nametoindex("eth0"))
    raw.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
    return raw


def _bad_advertisement(source: bytes) -> bytes:
    """A whole IP packet, in all but its digest as an advertisement should be."""
    payload = pack(header(100, 0, 1), os.urandom(8), os.urandom(20))
    ip = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0x10, 56, 0, 0x4000, 255, 112, 0, source, socket.inet_aton("224.0.0.18")
    )
    return ip + payload
