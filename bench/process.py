"""The daemons as processes: what processor time and memory they take, and how fast ours starts."""

import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.result import Result
from bench.scene import pair_of
from bench.section import Section, of_results
from bench.systems import SYSTEMS, VIP, System, installed, is_ours
from bench.wire import Wire
from carpsidecar.lab.network import Lab
from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process

_COMMAND = (sys.executable, "-m", "carpsidecar", "run")
_STATUS = (sys.executable, "-m", "carpsidecar", "status")
_SETTLED_AFTER_S = 2.0
_CPU_GOALS = {"ours": 0.5}
_MEMORY_GOAL_MB = 45.0


def section(quick: bool) -> Section:
    results = measure(seconds=3 if quick else 30, starts=5 if quick else 20, many=not quick)
    return of_results("Processor, memory and start", results)


def measure(seconds: float, starts: int, many: bool = True) -> list[Result]:
    """Args: seconds: how long processor time is watched; starts: of ours; many: 255 groups, too."""
    results = []
    for system in SYSTEMS:
        if installed(system):
            with Lab() as lab:
                pair = pair_of(system, lab)
                results += _costs(pair, system.label, seconds, _CPU_GOALS.get(system.key), system)
                if is_ours(system):
                    results += _done_at_rest(lab, system, seconds)
    with TemporaryDirectory() as folder, Lab() as lab:
        passphrase = Path(folder, "passphrase")
        passphrase.write_text("secret\n")
        passphrase.chmod(0o600)
        first, second = lab.node("n1"), lab.node("n2")
        one = [*_COMMAND, "--vip", "10.99.0.100", "--passphrase-file", str(passphrase)]
        note = f"median of {starts} starts"
        results.append(Result("ours: exec to listening", _start_s(first, one, starts), "s", goal=0.4, note=note))
        alone = first.start(one)
        alone.wait_for("became master", timeout_s=30)
        note = f"median of {starts} calls"
        results.append(
            Result("ours: `status` from exec to answer", _status_s(first, starts), "s", goal=0.3, note=note)
        )
        alone.stop()
        if many:
            files = [_many_groups(Path(folder, f"{skew}.yaml"), passphrase, skew) for skew in (0, 100)]
            master = first.start([*_COMMAND, "--config", str(files[0])])
            master.wait_for("became master", timeout_s=30)
            backup = second.start([*_COMMAND, "--config", str(files[1])])
            backup.wait_for("became backup", timeout_s=30)
            results += _costs((master, backup), "ours at 1 s, 255 groups", seconds, 15.0)
            what = "ours: `status` of 255 groups"
            results.append(Result(what, _status_s(first, starts), "s", goal=0.3, note=note))
    return results


def _costs(
    pair: Sequence[Process], what: str, seconds: float, goal_percent: float | None, system: System | None = None
) -> list[Result]:
    """Of the master and of the backup, over the same time."""
    # A moment for what a start costs to be over.
    time.sleep(_SETTLED_AFTER_S)
    before, started = [_cpu_s(process.pid) for process in pair], time.monotonic()
    time.sleep(seconds)
    after, took_s = [_cpu_s(process.pid) for process in pair], time.monotonic() - started
    results = []
    ours = system is None or system.key.startswith("ours")
    for role, process, began, ended in zip(("master", "backup"), pair, before, after, strict=True):
        percent = 100 * (ended - began) / took_s
        memory = _memory_mb(process.pid)
        resident = f"{memory['Rss']:.3g} MB RSS"
        results += [
            Result(f"{what}, {role}: processor", percent, "%", goal_percent, f"over {seconds:g} s"),
            Result(f"{what}, {role}: memory", memory["Pss"], "MB PSS", _MEMORY_GOAL_MB if ours else None, resident),
        ]
    return results


def _done_at_rest(lab: Lab, system: System, seconds: float) -> list[Result]:
    """While all is well the backup asks no question, and the master renews its fence with each advertisement."""
    master, backup = lab.nodes["first"], lab.nodes["second"]
    with Wire(lab.nodes["client"], backup) as wire:
        monitor = master.start(["nft", "monitor", "elements"])
        time.sleep(seconds)
        renewals = monitor.log.count("add element arp")
        monitor.kill()
        advertisements = sum(heard.kind == "advertisement" for heard in wire.heard)
        asked = sum(heard.kind == "question" and heard.address == VIP for heard in wire.heard)
    note = f"{renewals} in {seconds:g} s, with {advertisements} advertisements"
    fence = Result(f"{system.label}, master: renewals of the fence", renewals / seconds, "/s", note=note)
    # At the fastest setting an advertisement that is five milliseconds late is asked about.
    goal = 0 if system.interval_s >= 1 else None
    questions = Result(f"{system.label}, backup: questions for the address", asked, "", goal, f"in {seconds:g} s")
    return [fence, questions]


def _start_s(node: Node, command: list[str], times: int) -> float:
    took = []
    for _ in range(times):
        started = time.monotonic()
        process = node.start(command)
        process.wait_for(re.compile("became backup"), timeout_s=10)
        took.append(time.monotonic() - started)
        process.stop()
    return median(took)


def _status_s(node: Node, times: int) -> float:
    took = []
    for _ in range(times):
        started = time.monotonic()
        node.run(_STATUS)
        took.append(time.monotonic() - started)
    return median(took)


def _many_groups(file: Path, passphrase: Path, advskew: int) -> Path:
    groups = "".join(f"  - {{vip: 10.99.1.{vhid}, vhid: {vhid}}}\n" for vhid in range(1, 256))
    file.write_text(
        f"interface: eth0\npassphrase_file: {passphrase}\nadvskew: {advskew}\nlog_level: info\ngroups:\n{groups}"
    )
    return file


def _cpu_s(pid: int) -> float:
    """Of the process, its threads and its children, to the nanosecond."""
    files = (file for one in _family(pid) for file in Path(f"/proc/{one}/task").glob("*/schedstat"))
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9


def _memory_mb(pid: int) -> dict[str, float]:
    """Of the process and its children; in Pss, what is shared with others (this Python, too) counts in part."""
    found: Counter[str] = Counter()
    for one in _family(pid):
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()[1:]:
            name, number, _ = line.split()
            found[name.rstrip(":")] += int(number)
    return {name: number / 1024 for name, number in found.items()}


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _family(int(child)))]
