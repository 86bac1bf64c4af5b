"""The lab comes up quickly, two of them do not meet, and nothing is left of one however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from carpsidecar.lab.leftovers import DIRECTORY
from carpsidecar.lab.namespace import NAMESPACES, in_namespace, run_in
from carpsidecar.lab.network import Lab

pytestmark = pytest.mark.network

# A lab in another process, with a program that would outlive it.
A_LAB = """
import sys, time
from carpsidecar.lab.network import Lab
with Lab() as lab:
    lab.node("one").start(["sh", "-c", "trap '' TERM HUP INT; setsid sleep 4321 & sleep 4321"])
    lab.node("two")
    print("up", flush=True)
    {then}
"""


def traces_of(pid: int) -> list[str]:
    kept = [*NAMESPACES.iterdir(), *(DIRECTORY.iterdir() if DIRECTORY.exists() else [])]
    return [path.name for path in kept if path.name.startswith(f"carp{pid}")]


def processes_in_namespace(inode: int) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "ns/net").stat().st_ino == inode:
                found.append(process.name)
        except OSError:
            continue
    return found


def start_a_lab(then: str = "time.sleep(1000)") -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", A_LAB.format(then=then)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        inode = (NAMESPACES / f"carp{process.pid}-one").stat().st_ino
        assert processes_in_namespace(inode)
    except BaseException:
        process.terminate()
        raise
    return process, inode


def test_nodes_reach_each_other_over_both_families_from_the_first_moment_on() -> None:
    with Lab() as lab:
        one, two = lab.node("one"), lab.node("two")
        two.run(["ping", "-c1", "-W5", str(one.address)])
        two.run(["ping", "-c1", "-W5", str(one.address6)])
        two.run(["ping", "-c1", "-W5", "fe80::ca:ff:fe00:b%eth0"])
        assert [str(one.address), str(two.address)] == ["10.99.0.11", "10.99.0.12"]
        assert [str(one.address6), str(two.address6)] == ["fd99::b", "fd99::c"]


def test_a_lab_of_sixteen_nodes_with_two_links_is_up_in_no_time() -> None:
    begin = time.monotonic()
    with Lab() as lab:
        nodes = [lab.node(f"node{number}", links=2) for number in range(16)]
        assert time.monotonic() - begin < 10, "0.3 s on an idle machine"
        nodes[0].run(["ping", "-c1", "-W5", str(nodes[-1].links[1].address)])
        assert str(nodes[-1].links[1].address) == "10.98.0.26"


def test_a_program_in_a_node_sees_the_nodes_interfaces_and_so_does_a_thread_that_enters() -> None:
    with Lab() as lab:
        node = lab.node("one")
        home = Path("/proc/thread-self/ns/net").readlink()
        assert sorted(node.run(["ls", "/sys/class/net"]).split()) == ["eth0", "lo"]
        assert run_in(node.ns, lambda: Path("/proc/thread-self/net/dev").read_text()).count("eth0") == 1
        with pytest.raises(ValueError, match="within"), in_namespace(node.ns):
            raise ValueError("within")
        assert Path("/proc/thread-self/ns/net").readlink() == home


@pytest.mark.parametrize("name", ["", "Upper", "one", "switch", "much-too-long-name", "with space"])
def test_a_bad_node_name_is_refused(name: str) -> None:
    with Lab() as lab:
        lab.node("one")
        with pytest.raises(ValueError, match="node name"):
            lab.node(name)


def test_two_labs_of_one_process_do_not_meet() -> None:
    with Lab() as first, Lab() as second:
        client = first.node("client")
        first.node("server").run(["ip", "addr", "add", "10.99.0.100/32", "dev", "eth0"])
        second.node("client").cut_off()
        second.node("server").power_off()
        client.run(["ping", "-c1", "-W5", "10.99.0.100"])
    assert traces_of(os.getpid()) == []


def test_a_lab_leaves_those_alone_whose_process_lives() -> None:
    process, _ = start_a_lab()
    try:
        with Lab():
            assert len(traces_of(process.pid)) == 4
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_nothing_is_left_after_an_exception() -> None:
    def fail_in(lab: Lab) -> None:
        with lab:
            lab.node("one").start(["sleep", "1000"])
            raise ZeroDivisionError

    lab = Lab()
    with pytest.raises(ZeroDivisionError):
        fail_in(lab)
    (process,) = lab.nodes["one"].processes
    assert process.returncode == -signal.SIGKILL
    assert traces_of(os.getpid()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_left_after_a_signal(number: signal.Signals) -> None:
    process, inode = start_a_lab()
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode in (128 + number, -number)
    assert traces_of(process.pid) == []
    assert processes_in_namespace(inode) == []


def test_nothing_is_left_of_a_lab_that_was_not_closed() -> None:
    process, inode = start_a_lab(then="Lab().__enter__().node('open'); sys.exit(3)")
    process.communicate(timeout=30)
    assert process.returncode == 3
    assert traces_of(process.pid) == []
    assert processes_in_namespace(inode) == []


def test_what_a_killed_lab_leaves_is_removed_by_the_next() -> None:
    process, inode = start_a_lab()
    process.kill()
    process.communicate(timeout=30)
    assert len(traces_of(process.pid)) == 4
    with Lab():
        assert traces_of(process.pid) == []
        assert processes_in_namespace(inode) == []
