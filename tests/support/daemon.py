"""Starting the command under test in a node of the lab, and what is seen of it from outside."""

import contextlib
import itertools
import json
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from carpsidecar.lab.commands import environment
from carpsidecar.lab.namespace import in_namespace
from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process
from tests.support.command import COMMAND
from tests.support.tap import Tap
from tests.support.waits import SOON_S, Delay

PASSPHRASE = "a secret of the lab"
VIP = "10.99.0.100"
GROUP = "vhid-100"
VHID = 100

FAST: Mapping[str, Any] = {"advbase": 0, "advskew": 16, "dead_ratio": 8}
"""An advertisement each 0.06 s, and a takeover after 0.5 s without one."""

SLOWER: Mapping[str, Any] = {"advskew": 60, "dead_ratio": 2}
"""For hundreds of groups: one each 0.23 s, and a takeover after 0.47 s."""

LATE_S = 0.25
"""The longest gap between two advertisements that is not late: half of a backup's patience."""

NET_ADMIN_AND_RAW = 1 << 12 | 1 << 13

HTTP = ("--http", "127.0.0.1:9112")

_numbers = itertools.count(1)


class Configuration:
    """A file for `--config`, with a passphrase file beside it; `groups` may be changed and written again."""

    def __init__(
        self, directory: Path, *groups: Mapping[str, Any], beside: Mapping[str, Any] | None = None
    ) -> None:
        self.path = directory / f"carp-{next(_numbers)}.yaml"
        self.groups: list[dict[str, Any]] = [dict(group) for group in groups]
        passphrase = directory / "passphrase"
        passphrase.touch(0o600)
        passphrase.write_text(PASSPHRASE)
        self.beside = {"passphrase_file": str(passphrase), **FAST, **(beside or {})}
        self.write()

    def write(self) -> None:
        self.path.write_text(yaml.safe_dump({**self.beside, "groups": self.groups}))

    @property
    def flags(self) -> list[str]:
        return ["--config", str(self.path)]


def group(number: int = VHID, /, **settings: Any) -> dict[str, Any]:
    """One group's settings: vhid `number`, and the address that ends in it."""
    return {"vip": f"10.99.0.{number}", "vhid": number, **settings}


def start(
    node: Node,
    configuration: Configuration,
    *flags: str,
    env: Mapping[str, str] | None = None,
    by: Sequence[str] = (),
) -> Process:
    """Start `carpsidecar run` in the node; `by` is put before the command."""
    return node.start([*by, *COMMAND, "run", *configuration.flags, *flags], env=env)


def wait_for_start(engine: Process) -> int:
    """Until it has logged all that belongs to its start but the election; where its log ends.

    The reporter comes up beside the engine: on a busy machine it says so after the engine became master.
    """
    engine.wait_for("the reporter runs", SOON_S)
    return engine.log_size


def start_master(
    node: Node, configuration: Configuration, *flags: str, env: Mapping[str, str] | None = None
) -> Process:
    """Start it, and wait until every group is master, and its start is over."""
    process = start(node, configuration, *flags, env=env)
    for one in configuration.groups:
        process.wait_for(f"{one.get('name', 'vhid-{}'.format(one['vhid']))}: became master", SOON_S)
    wait_for_start(process)
    return process


def reload(engine: Process, until: str = "the configuration was read again") -> str:
    """HUP, and wait for the line that says how it went; what was logged meanwhile."""
    after = engine.log_size
    send(engine, signal.SIGHUP)
    engine.wait_for(until, SOON_S, after)
    return engine.log[after:]


@contextlib.contextmanager
def piped(
    node: Node, argv: Sequence[str], *, env: Mapping[str, str] | None = None, **popen: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program in the node with descriptors of the caller's choice."""
    with in_namespace(node.ns):
        process = subprocess.Popen(argv, env=environment({**node.environment, **(env or {})}), **popen)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def expect_no_gap(tap: Tap, delay: Delay, *vhids: int, late_s: float = LATE_S) -> None:
    """No group fell silent, but for the time in which its engine had no processor."""
    gaps_s = {vhid: tap.longest_gap_s(vhid) for vhid in vhids or (VHID,)}
    assert max(gaps_s.values()) < late_s + delay.s, gaps_s


def holds(node: Node, address: str = VIP) -> bool:
    return f" {address}/" in node.run(["ip", "-4", "addr", "show"])


def privileges_of(pid: int) -> dict[str, int]:
    """The capability sets and no_new_privs of a process."""
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {
        fields[0][:-1]: int(fields[1], 10 if fields[0] == "NoNewPrivs:" else 16)
        for fields in lines
        if fields[0].startswith(("Cap", "NoNewPrivs"))
    }


def reporter_of(engine: Process) -> int:
    """The process id of the one child of the reporters' starter."""
    return child_of(starter_of(engine))


def starter_of(engine: Process) -> int:
    return child_of(engine.pid)


def child_of(pid: int) -> int:
    [child] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def alive(pid: int) -> bool:
    """Whether this process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for_end(pid: int) -> None:
    """Wait until this process, which need not be our child, has ended."""
    try:
        end = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([end], [], [], SOON_S)[0], f"process {pid} lives on"
    finally:
        os.close(end)


def send(process: Process, number: signal.Signals) -> None:
    os.kill(process.pid, number)


def script(directory: Path, name: str, body: str) -> str:
    """An executable shell script; what it prints ends up in the engine's log."""
    path = directory / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)
