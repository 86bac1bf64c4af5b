"""More than can be read: nothing that found no room goes uncounted."""

import socket
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from carpsidecar.linux.carp_socket import CarpSocket
from carpsidecar.linux.claims import ClaimWatch
from carpsidecar.linux.frames import gratuitous_arp, ipv4_packet
from tests.network.linux.helpers import Node, carp_payload, two_nodes

pytestmark = pytest.mark.network

FLOOD = 5000
VIP = IPv4Address("10.0.0.100")
FOREIGN = bytes.fromhex("02bbbbbbbbbb")


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[Node, Node]]:
    with two_nodes() as pair:
        yield pair


def flood(node: Node, frame: bytes) -> None:
    with node.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        sender.bind(("net0", 0))
        for _ in range(FLOOD):
            sender.send(frame)


def test_advertisements_read_and_unread_are_all_of_them(nodes: tuple[Node, Node]) -> None:
    left, right = nodes
    with left.inside():
        carp = CarpSocket("net0", left.index, 4)
    carp.join(IPv4Address("224.0.0.18"))
    packet = ipv4_packet(112, IPv4Address("10.0.0.2"), IPv4Address("224.0.0.18"), carp_payload())
    flood(right, bytes.fromhex("01005e000012") + right.mac + b"\x08\x00" + packet)

    assert len(carp.receive(FLOOD)) == carp.taken
    unread = carp.unread()
    carp.close()
    assert carp.taken > 1000
    assert unread > 0
    assert carp.taken + unread == FLOOD


def test_claims_read_and_unread_are_all_of_them(nodes: tuple[Node, Node]) -> None:
    left, right = nodes
    with left.inside():
        watch = ClaimWatch(left.index, left.mac)
        watch.watch([VIP])
    flood(right, gratuitous_arp(FOREIGN, VIP)[0])

    assert len(watch.receive(64)) == 64
    assert watch.flooded
    rest = len(watch.receive(FLOOD))
    assert not watch.flooded
    unread = watch.unread()
    watch.close()
    assert unread > 0
    assert 64 + rest + unread == FLOOD
