"""Real-time priority and locked memory, so that neither a busy processor nor scarce memory holds up the loop.

Source: sched(7), mlockall(2), getrlimit(2), capabilities(7), Documentation/scheduler/sched-rt-group.rst.
"""

import os
import resource
import threading
from pathlib import Path

from carpsidecar.linux.capabilities import missing

PRIORITY = 1
"""The lowest of 1 to 99: before everything that is not real-time, and behind whatever else is."""

CAPABILITIES = ("CAP_SYS_NICE", "CAP_IPC_LOCK")
"""What they take, unless the limits allow them."""

_MCL_CURRENT = 1


def take() -> dict[str, str]:
    """Get both for this process, before it gives up its privileges; what it starts later has neither.

    Returns:
        What could not be had, each with what it needs; empty where all is well.
    """
    refused = {}
    try:
        _take_priority()
    except OSError as error:
        refused["real-time priority"] = _what_priority_needs(error)
    try:
        _lock_memory()
    except OSError as error:
        refused["locked memory"] = _what_memory_needs(error)
    return refused


def is_taken(pid: int) -> bool:
    """Whether this process has both.

    Raises:
        OSError: it is gone, or hidden from us.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    locked = any(line.split()[1] != "0" for line in status.splitlines() if line.startswith("VmLck:"))
    return locked and os.sched_getscheduler(pid) & ~os.SCHED_RESET_ON_FORK == os.SCHED_RR


def _take_priority() -> None:
    policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
    for thread in threading.enumerate():
        # All of them, since one that has the interpreter's lock and no processor keeps the loop waiting.
        os.sched_setscheduler(thread.native_id or 0, policy, os.sched_param(PRIORITY))
    # The right to it would be inherited, though the priority is not.
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))


def _lock_memory() -> None:
    # Not MCL_FUTURE: RLIMIT_MEMLOCK counts once CAP_IPC_LOCK is given up, what is locked is beyond it already, and
    # every later allocation would fail. By now all code is there, and most of the memory.
    _call("mlockall", _MCL_CURRENT)
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith("[stack]"):
            # It would fail to grow in the same way, by SIGSEGV; it grows with the flags of its lowest page.
            _call("munlock", int(line.partition("-")[0], 16), resource.getpagesize())


def _what_priority_needs(error: OSError) -> str:
    if missing(["CAP_SYS_NICE"]) and resource.getrlimit(resource.RLIMIT_RTPRIO)[0] < PRIORITY:
        return (
            "needs CAP_SYS_NICE: give it to the container (capability SYS_NICE) or the systemd unit"
            " (AmbientCapabilities=, or LimitRTPRIO=1, and RestrictRealtime=no)"
        )
    return (
        f"{error.strerror}, although the right is there: look at cpu.rt_runtime_us of the cgroup, and at filters of"
        " system calls (RestrictRealtime= and SystemCallFilter= of systemd)"
    )


def _what_memory_needs(error: OSError) -> str:
    if missing(["CAP_IPC_LOCK"]) and resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY:
        return (
            "needs CAP_IPC_LOCK: give it to the container (capability IPC_LOCK) or the systemd unit"
            " (AmbientCapabilities=, or LimitMEMLOCK=infinity)"
        )
    return f"{error.strerror}, although the right is there"


def _call(name: str, *arguments: int) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*map(ctypes.c_size_t, arguments)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
