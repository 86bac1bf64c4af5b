"""More than can be read: nothing that found no room goes uncounted."""

import socket
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from carpsidecar.linux.carp_socket import CarpSocket, Received
from carpsidecar.linux.claims import Claim, ClaimWatch
from carpsidecar.linux.frames import gratuitous_arp, ipv4_packet
from tests.network.linux.helpers import Node, carp_payload, gather, two_nodes

pytestmark = pytest.mark.network

FLOOD = 5000
VIP = IPv4Address("10.0.0.100")
FOREIGN = bytes.fromhex("02bbbbbbbbbb")


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[Node, Node]]:
    with two_nodes() as pair:
        yield pair


def flood(node: Node, frame: bytes) -> int:
    """How many of the flood arrive: a busy kernel may have no room for some before it looks for their sockets."""
    before = overflowed()
    with node.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        sender.bind(("net0", 0))
        for _ in range(FLOOD):
            sender.send(frame)
    return FLOOD - (overflowed() - before)


def overflowed() -> int:
    """Frames dropped from the queues of this machine's processors (softnet_stat, the second column)."""
    lines = Path("/proc/net/softnet_stat").read_text().splitlines()
    return sum(int(line.split()[1], 16) for line in lines)


def test_advertisements_read_and_unread_are_all_of_them(nodes: tuple[Node, Node]) -> None:
    left, right = nodes
    with left.inside():
        carp = CarpSocket("net0", left.index, 4)
    carp.join(IPv4Address("224.0.0.18"))
    packet = ipv4_packet(112, IPv4Address("10.0.0.2"), IPv4Address("224.0.0.18"), carp_payload())
    arrived = flood(right, bytes.fromhex("01005e000012") + right.mac + b"\x08\x00" + packet)

    unread = 0

    def all_of_them(received: list[Received]) -> bool:
        nonlocal unread
        unread += carp.unread()
        return len(received) + unread >= arrived

    received = gather(carp, lambda: carp.receive(FLOOD), all_of_them)
    carp.close()
    assert len(received) == carp.taken > 1000
    assert unread > 0
    assert arrived <= carp.taken + unread <= FLOOD


def test_claims_read_and_unread_are_all_of_them(nodes: tuple[Node, Node]) -> None:
    left, right = nodes
    with left.inside():
        watch = ClaimWatch(left.index, left.mac)
        watch.watch([VIP])
    arrived = flood(right, gratuitous_arp(FOREIGN, VIP)[0])

    assert len(watch.receive(64)) == 64
    assert watch.flooded
    unread = 0

    def all_of_them(rest: list[Claim]) -> bool:
        nonlocal unread
        unread += watch.unread()
        return 64 + len(rest) + unread >= arrived

    rest = gather(watch, lambda: watch.receive(FLOOD), all_of_them)
    assert not watch.flooded
    watch.close()
    assert unread > 0
    assert arrived <= 64 + len(rest) + unread <= FLOOD
