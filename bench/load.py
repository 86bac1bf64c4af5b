"""What else a machine has to do while it is watched, and how late it is by itself."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

Load = Literal["idle", "busy", "changing"]

LABELS: dict[Load, str] = {
    "idle": "no load",
    "busy": "every processor kept busy",
    "changing": "busy, and namespaces and interfaces come and go",
}

_SPIN = [sys.executable, "-c", "while True: pass"]
_CHANGE = ["sh", "-c", "while :; do unshare --net ip link add veth0 type veth peer name veth1; done"]
"""Whoever starts and ends containers makes the kernel do the same, under the lock that addresses need as well."""


@contextmanager
def loaded(load: Load) -> Iterator[None]:
    """Every processor has a process of normal priority that wants all of it; where the network is changing, one
    more makes and ends network namespaces with a pair of interfaces as fast as it can."""
    with ExitStack() as stack:
        if load != "idle":
            for _ in range(os.cpu_count() or 1):
                stack.enter_context(_running(_SPIN))
        if load == "changing":
            stack.enter_context(_running(_CHANGE))
        yield


@contextmanager
def _running(argv: Sequence[str]) -> Iterator[None]:
    process = subprocess.Popen(argv, cwd=Path("/"), start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def late_by_itself(seconds: float) -> float:
    """Watch the machine's processors for so long; by how many seconds a timer of theirs was late at most.

    Raises:
        OSError: there is no real-time priority to watch with.
    """
    argv = [[sys.executable, "-m", "bench.machine_timer", str(n), str(seconds)] for n in range(os.cpu_count() or 1)]
    timers = [subprocess.Popen(program, stdout=subprocess.PIPE, text=True) for program in argv]
    printed = [timer.communicate()[0] for timer in timers]
    if not all(printed):
        raise OSError("no timers with real-time priority")
    return max(map(float, printed))
