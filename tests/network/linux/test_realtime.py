"""What real-time priority and locked memory come to under each kind of privilege, in a process of its own."""

import json
import subprocess
import sys
from typing import Any

import pytest

from carpsidecar.linux.capabilities import missing
from tests.support.realtime import REALTIME, needs_realtime

pytestmark = pytest.mark.network

PROGRAM = """
import json, os, resource, subprocess, sys, threading
from pathlib import Path
from carpsidecar.linux import realtime
from carpsidecar.linux.capabilities import keep_only

def memory_kb(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))

def policy(pid):
    return os.sched_getscheduler(pid), os.sched_getparam(pid).sched_priority

def descend(depth):
    # C calls Python calls C: that needs stack.
    return sorted([0], key=lambda _: descend(depth - 1)) if depth else 0

going = threading.Event()
thread = threading.Thread(target=going.wait, daemon=True)
thread.start()
locked = bytearray(1 << 20)
found = {"refused": realtime.take()}
keep_only((), bounding=False)
found["locked"] = memory_kb("VmLck")
found["policies"] = [policy(0), policy(thread.native_id)]
# By mmap, by brk, and by mremap of what is locked.
grown = [bytearray(1 << 20) for _ in range(64)], [bytes(100_000) for _ in range(200)], locked.extend(bytes(8 << 20))
later = threading.Thread(target=lambda: found.update(later=policy(0)))
later.start(); later.join()
found["stack"] = -memory_kb("VmStk")
sys.setrecursionlimit(10_000)
descend(1_000)
found["stack"] += memory_kb("VmStk")
found["child"] = subprocess.run(["chrt", "-p", "0"], capture_output=True, text=True).stdout
found["priority_limit"] = resource.getrlimit(resource.RLIMIT_RTPRIO)
going.set()
print(json.dumps(found))
"""
WITHOUT = ("setpriv", "--bounding-set")


def take(*by: str) -> dict[str, Any]:
    """What the program prints when it is started by this command."""
    ended = subprocess.run(
        [*by, sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    found: dict[str, Any] = json.loads(ended.stdout)
    assert found["stack"] > 500
    return found


def expect_both(found: dict[str, Any]) -> None:
    """That memory and stack could grow afterwards shows in that it printed anything."""
    assert found["refused"] == {}
    assert found["policies"] == [[REALTIME, 1]] * 2
    assert found["later"][1] == 0
    assert "SCHED_OTHER" in found["child"]
    assert found["priority_limit"] == [0, 0]
    assert found["locked"] > 10_000


@needs_realtime
def test_two_capabilities_are_enough_however_little_may_be_locked_without_them() -> None:
    expect_both(take("prlimit", "--memlock=65536:65536", *WITHOUT, "-all,+sys_nice,+ipc_lock"))


@needs_realtime
@pytest.mark.skipif(bool(missing(["CAP_SYS_RESOURCE"])), reason="needs CAP_SYS_RESOURCE, to raise limits")
def test_two_limits_are_enough_as_in_a_systemd_unit() -> None:
    expect_both(take("prlimit", "--rtprio=1", "--memlock=unlimited", *WITHOUT, "-all"))


@pytest.mark.parametrize("kept", ["", ",+ipc_lock"])
def test_without_the_right_to_priority_it_says_how_to_give_it(kept: str) -> None:
    found = take("prlimit", "--rtprio=0", *WITHOUT, f"-all{kept}")
    assert found["policies"] == [[0, 0]] * 2
    assert found["refused"]["real-time priority"].startswith("needs CAP_SYS_NICE: give it to the container")
    assert ("locked memory" in found["refused"]) != bool(kept)


@pytest.mark.parametrize("limit", ["0", "65536"])
def test_without_the_right_to_lock_memory_it_says_how_to_give_it(limit: str) -> None:
    found = take("prlimit", f"--memlock={limit}:{limit}", *WITHOUT, "-all")
    assert found["locked"] == 0
    assert found["refused"]["locked memory"].startswith("needs CAP_IPC_LOCK: give it to the container")
