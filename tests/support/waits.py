"""Waiting for what will come, and what a busy machine is to blame for, and no program that is tested on it."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from carpsidecar.lab.process import Process

SOON_S = 60.0
"""Within this a program has done whatever it is going to do, on a busy machine, too."""

_POLL_EVERY_S = 0.01
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_STEAL = 8


def wait_until(holds: Callable[[], bool], what: str = "it", within_s: float = SOON_S) -> None:
    """Only for what gives no sign of itself that could be waited for."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(_POLL_EVERY_S)


class Delay:
    """Since it was made: how long these programs stood in line for a processor, and this machine for its host's.

    A time that a test bounds may be longer by so much: `assert took_s < AT_ONCE_S + delay.s`. Where nothing else
    runs it is a few milliseconds, and the bound as sharp as it reads.
    """

    def __init__(self, *programs: Process | subprocess.Popen[bytes]) -> None:
        """The programs, which must still run when `s` is read, and this process."""
        self._pids = [os.getpid(), *(program.pid for program in programs)]
        self._before_s = self._now_s()

    @property
    def s(self) -> float:
        return max(0.0, self._now_s() - self._before_s)

    def _now_s(self) -> float:
        return sum(map(_in_line_s, self._pids)) + _stolen_s()


def _in_line_s(pid: int) -> float:
    """Of all threads of the process, since they began (proc(5): schedstat, the second field)."""
    in_line_ns = 0
    for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # it has ended
            in_line_ns += int(task.read_text().split()[1])
    return in_line_ns / 1e9


def _stolen_s() -> float:
    """What the host did with its processors when this machine wanted them (proc(5): stat)."""
    with Path("/proc/stat").open() as stat:
        return int(stat.readline().split()[_STEAL]) / _TICKS_PER_S
