"""The daemons as processes, looked at in each quiet period: tracebacks, unasked exits, memory, descriptors."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

from carpsidecar.lab.process import Process
from tests.network.soak.machine import Machine

_MEMORY_FROM_AGE_S = 60.0
_MEMORY_GROWS_MAX_MB = 4.0
_DESCRIPTORS_MORE_MAX = 3


class Health:
    def __init__(self) -> None:
        self.memory_grown_mb = 0.0
        self._first_seen: dict[int, float] = {}
        self._memory_mb: dict[int, float] = {}
        self._descriptors: dict[int, int] = {}
        self._read: dict[Path, int] = {}
        self._told: set[tuple[int, str]] = set()

    def complaints(self, machines: Iterable[Machine]) -> list[str]:
        """What is wrong and has not been said yet."""
        found = []
        for machine in machines:
            machine.look_after()
            found += machine.unasked_exits
            machine.unasked_exits.clear()
            for process in machine.processes:
                found += [f"{machine.name}: {line}" for line in self._tracebacks(process)]
            if machine.runs:
                found += [f"{machine.name}: {text}" for text in self._growth(machine.process.pid)]
        return found

    def _tracebacks(self, process: Process) -> list[str]:
        before = self._read.get(process.log_file, 0)
        if process.log_size == before:
            return []
        self._read[process.log_file] = process.log_size
        lines = process.log[max(0, before - 20) :].splitlines()
        return ["\n    ".join(lines[i : i + 30]) for i, line in enumerate(lines) if "Traceback" in line][:1]

    def _growth(self, pid: int) -> list[str]:
        now = time.monotonic()
        complaints = []
        memory_mb, descriptors = _memory_mb(pid), len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
        before = self._descriptors.setdefault(pid, descriptors)
        if descriptors > before + _DESCRIPTORS_MORE_MAX and (pid, "descriptors") not in self._told:
            self._told.add((pid, "descriptors"))
            complaints.append(f"{descriptors} file descriptors, once {before}")
        if now - self._first_seen.setdefault(pid, now) >= _MEMORY_FROM_AGE_S:
            grown_mb = memory_mb - self._memory_mb.setdefault(pid, memory_mb)
            self.memory_grown_mb = max(self.memory_grown_mb, grown_mb)
            if grown_mb > _MEMORY_GROWS_MAX_MB and (pid, "memory") not in self._told:
                self._told.add((pid, "memory"))
                complaints.append(f"{memory_mb:.1f} MB of memory, {grown_mb:.1f} MB more than after a minute")
        return complaints


def _memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]) / 1024
