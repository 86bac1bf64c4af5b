"""More than can be read: nothing that found no room goes uncounted."""

import socket
from collections import Counter
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from carpsidecar.linux.carp_socket import CarpSocket, Received, StrangerSocket
from carpsidecar.linux.claims import Claim, ClaimWatch
from carpsidecar.linux.frames import gratuitous_arp, ipv4_packet
from tests.network.linux.helpers import Node, carp_payload, gather

pytestmark = pytest.mark.network

FLOOD = 12000
VIP, GROUP = IPv4Address("10.0.0.100"), IPv4Address("224.0.0.18")
FOREIGN = bytes.fromhex("02bbbbbbbbbb")


def flood(node: Node, *frames: bytes) -> int:
    """How many of the flood, these in turn, arrive: a busy kernel may have no room before it looks for a socket."""
    before = overflowed()
    with node.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        sender.bind(("net0", 0))
        for number in range(FLOOD):
            sender.send(frames[number % len(frames)])
    return FLOOD - (overflowed() - before)


def multicast(node: Node, payload: bytes) -> bytes:
    packet = ipv4_packet(112, IPv4Address("10.0.0.2"), GROUP, payload)
    return bytes.fromhex("01005e000012") + node.mac + b"\x08\x00" + packet


def overflowed() -> int:
    """Frames dropped from the queues of this machine's processors (softnet_stat, the second column)."""
    lines = Path("/proc/net/softnet_stat").read_text().splitlines()
    return sum(int(line.split()[1], 16) for line in lines)


def test_advertisements_read_and_unread_are_all_of_them(nodes: tuple[Node, Node]) -> None:
    left, right = nodes
    with left.inside():
        carp = CarpSocket("net0", left.index, 4)
    carp.join(GROUP)
    arrived = flood(right, multicast(right, carp_payload()))

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


def test_of_strangers_a_sample_of_each_kind_is_kept_and_the_rest_is_counted(nodes: tuple[Node, Node]) -> None:
    left, right = nodes
    with left.inside():
        carp, strangers = CarpSocket("net0", left.index, 4), StrangerSocket("net0", left.index, 4)
    carp.join(GROUP)
    arrived = flood(right, *(multicast(right, carp_payload()[:size]) for size in (20, 8)))

    unread = 0

    def all_of_them(sample: list[Received]) -> bool:
        nonlocal unread
        unread += strangers.unread()
        return len(sample) + unread >= arrived

    sample = gather(strangers, lambda: strangers.receive(FLOOD), all_of_them)
    carp.close()
    strangers.close()
    kinds = Counter(len(received.payload) for received in sample)
    assert kinds.keys() == {20, 8}
    assert 2 * min(kinds.values()) > max(kinds.values()) > 5
    assert arrived <= len(sample) + unread <= FLOOD


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
