"""The engine as a process: how fast it starts, what memory and processor time it takes."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.result import Result
from carpsidecar.lab.network import Lab
from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process

_CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_COMMAND = (sys.executable, "-m", "carpsidecar", "run")


def measure(seconds: float, starts: int) -> list[Result]:
    """Args: seconds: how long processor time is watched, for each figure; starts: how often it is started."""
    with TemporaryDirectory() as folder, Lab() as lab:
        passphrase = Path(folder, "passphrase")
        passphrase.write_text("secret\n")
        passphrase.chmod(0o600)
        one = [*_COMMAND, "--vip", "10.99.0.100", "--passphrase-file", str(passphrase)]
        first, second = lab.node("n1"), lab.node("n2")
        results = [
            Result("exec to listening", _start_s(first, one, starts), "s", goal=0.4, note=f"{starts} starts")
        ]
        results += _pair(first, second, one, one, "one group", seconds, goal_percent=0.5)
        files = [_many_groups(Path(folder, f"{skew}.yaml"), passphrase, skew) for skew in (0, 100)]
        commands = [[*_COMMAND, "--config", str(file)] for file in files]
        results += _pair(first, second, commands[0], commands[1], "255 groups", seconds, goal_percent=15)
    return results


def _start_s(node: Node, command: list[str], times: int) -> float:
    took = []
    for _ in range(times):
        started = time.monotonic()
        process = node.start(command)
        process.wait_for("became backup", timeout_s=10)
        took.append(time.monotonic() - started)
        process.stop()
    return median(took)


def _pair(
    first: Node,
    second: Node,
    master_command: list[str],
    backup_command: list[str],
    what: str,
    seconds: float,
    goal_percent: float,
) -> list[Result]:
    with _running(first, master_command, "became master") as master, _running(second, backup_command) as backup:
        results = []
        # A moment for what a start costs to be over.
        time.sleep(3)
        for role, process in (("master", master), ("backup", backup)):
            note = f"over {seconds:g} s"
            percent = _cpu_percent(process.pid, seconds)
            results.append(Result(f"{what}, {role}: processor", percent, "%", goal_percent, note))
            results.append(Result(f"{what}, {role}: memory", _pss_mb(process.pid), "MB PSS", goal=45))
    return results


@contextmanager
def _running(node: Node, command: list[str], until: str = "became backup") -> Iterator[Process]:
    process = node.start(command)
    try:
        process.wait_for(until, timeout_s=30)
        yield process
    finally:
        process.stop()


def _many_groups(file: Path, passphrase: Path, advskew: int) -> Path:
    groups = "".join(f"  - {{vip: 10.99.1.{vhid}, vhid: {vhid}}}\n" for vhid in range(1, 256))
    file.write_text(
        f"interface: eth0\npassphrase_file: {passphrase}\nadvskew: {advskew}\nlog_level: info\ngroups:\n{groups}"
    )
    return file


def _cpu_percent(pid: int, seconds: float) -> float:
    before, started = _cpu_s(pid), time.monotonic()
    time.sleep(seconds)
    return 100 * (_cpu_s(pid) - before) / (time.monotonic() - started)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS_PER_S


def _pss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
