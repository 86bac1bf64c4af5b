"""Two namespaces and a cable, for the tests of carpsidecar.linux.

A socket stays in the namespace where it was opened, so a test opens it inside and uses it from anywhere.
"""

import ctypes
import itertools
import os
import select
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

DEADLINE_S = 20.0
_CLONE_NEWNET = 0x40000000
_numbers = itertools.count()
_T = TypeVar("_T")


class Readable(Protocol):
    def fileno(self) -> int: ...


class Node:
    """A namespace with one end of a cable, `net0`."""

    def __init__(self, number: int) -> None:
        self.name = f"carplinux-{os.getpid()}-{next(_numbers)}"
        self.mac = bytes([0x02, 0, 0, 0, 0, number])
        run("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")
        with self.inside():
            for kind in ("default", "all"):
                Path(f"/proc/sys/net/ipv6/conf/{kind}/accept_dad").write_text("0")

    def ip(self, *arguments: str) -> str:
        return run("ip", "-n", self.name, *arguments)

    @contextmanager
    def inside(self) -> Iterator[None]:
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        away = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            _enter(away)
            try:
                yield
            finally:
                _enter(home)
        finally:
            os.close(away)
            os.close(home)

    @property
    def index(self) -> int:
        with self.inside():
            return socket.if_nametoindex("net0")

    def sysctl(self, key: str, value: str) -> None:
        with self.inside():
            Path(f"/proc/sys/net/{key}").write_text(value)


@contextmanager
def two_nodes() -> Iterator[tuple[Node, Node]]:
    nodes: list[Node] = []
    try:
        nodes.append(Node(1))
        nodes.append(Node(2))
        lay_cable(*nodes)
        yield nodes[0], nodes[1]
    finally:
        for node in nodes:
            subprocess.run(["ip", "netns", "del", node.name], check=False)


def lay_cable(left: Node, right: Node) -> None:
    left.ip("link", "add", "net0", "type", "veth", "peer", "name", "net0", "netns", right.name)
    for number, node in enumerate((left, right), start=1):
        node.ip("link", "set", "net0", "address", node.mac.hex(":"), "up")
        node.ip("addr", "add", f"10.0.0.{number}/24", "dev", "net0")
        node.ip("addr", "add", f"fd00::{number}/64", "dev", "net0")


def run(*arguments: str) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(arguments)}: {done.stderr}"
    return done.stdout


def _enter(namespace: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def readable(source: Readable, within_s: float = DEADLINE_S) -> bool:
    poll = select.poll()
    poll.register(source.fileno(), select.POLLIN)
    return bool(poll.poll(within_s * 1000))


def gather(
    source: Readable, read: Callable[[], list[_T]], enough: Callable[[list[_T]], bool], within_s: float = DEADLINE_S
) -> list[_T]:
    """Read whenever there is something, until it is enough."""
    got: list[_T] = []
    deadline = time.monotonic() + within_s
    while not enough(got):
        left_s = deadline - time.monotonic()
        assert left_s > 0, f"not enough within {within_s} s: {got}"
        if readable(source, left_s):
            got += read()
    return got


def wire_tap(node: Node, protocol: int) -> socket.socket:
    """A packet socket that sees whole frames of one protocol arriving at net0."""
    with node.inside():
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        tap.bind(("net0", protocol))
    return tap


def frames(tap: socket.socket, count: int, wanted: Callable[[bytes], bool] = lambda frame: True) -> list[bytes]:
    def read() -> list[bytes]:
        return [frame for frame in [tap.recv(2048)] if wanted(frame)]

    return gather(tap, read, lambda got: len(got) >= count)


def inject(node: Node, frame: bytes) -> None:
    with node.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        sender.bind(("net0", 0))
        sender.send(frame)


def carp_payload(**changes: int) -> bytes:
    """36 bytes in the shape of CARP; changes name a byte like b0=0x31."""
    payload = bytearray(struct.pack(">BBBBBBHQ20s", 0x21, 42, 0, 7, 0, 1, 0xBEEF, 77, bytes(range(20))))
    for place, value in changes.items():
        payload[int(place[1:])] = value
    return bytes(payload)
