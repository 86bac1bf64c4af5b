"""Announcements, byte by byte on the wire and in the other machine's neighbour table."""

import errno
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address, ip_interface

import pytest

from carpsidecar.linux.announce import AnnounceError, Announcer
from carpsidecar.linux.frames import internet_checksum
from carpsidecar.linux.netlink import IPAddress
from tests.network.linux.helpers import Node, frames, two_nodes, wire_tap

pytestmark = pytest.mark.network

VIP, VIP6 = ip_address("10.0.0.100"), ip_address("fd00::100")
ETH_P_ARP, ETH_P_IPV6 = 0x0806, 0x86DD


@pytest.fixture
def nodes() -> Iterator[tuple[Node, Node]]:
    with two_nodes() as pair:
        yield pair


def announce(node: Node, *addresses: IPAddress) -> None:
    with node.inside():
        announcer = Announcer(node.index, node.mac, "net0")
        announcer.announce(addresses)
        announcer.close()


def test_the_other_machine_learns_the_new_mac(nodes: tuple[Node, Node]) -> None:
    left, right = nodes
    for vip in (VIP, VIP6):
        right.ip("neigh", "replace", str(vip), "lladdr", "02:aa:aa:aa:aa:aa", "nud", "stale", "dev", "net0")
    tap = wire_tap(right, ETH_P_IPV6)
    announce(left, VIP, VIP6)
    frames(tap, 1, lambda frame: frame[20] == 58 and frame[54] == 136)
    tap.close()
    for vip in (VIP, VIP6):
        assert left.mac.hex(":") in right.ip("neigh", "show", "to", str(vip))


def test_gratuitous_arp_byte_by_byte(nodes: tuple[Node, Node]) -> None:
    left, right = nodes
    tap = wire_tap(right, ETH_P_ARP)
    announce(left, VIP)
    request, reply = frames(tap, 2)
    tap.close()
    ethernet = b"\xff" * 6 + left.mac + b"\x08\x06"
    assert (
        request == ethernet + bytes.fromhex("0001 0800 06 04 0001") + left.mac + VIP.packed + bytes(6) + VIP.packed
    )
    assert reply == ethernet + bytes.fromhex("0001 0800 06 04 0002") + left.mac + VIP.packed + left.mac + VIP.packed


@pytest.mark.parametrize("router", [False, True])
def test_neighbour_advertisement_byte_by_byte(nodes: tuple[Node, Node], router: bool) -> None:
    left, right = nodes
    left.sysctl("ipv6/conf/net0/forwarding", str(int(router)))
    tap = wire_tap(right, ETH_P_IPV6)
    announce(left, VIP6)
    (frame,) = frames(tap, 1, lambda frame: frame[20] == 58 and frame[54] == 136)
    tap.close()
    all_nodes = IPv6Address("ff02::1").packed
    assert frame[:14] == bytes.fromhex("333300000001") + left.mac + b"\x86\xdd"
    assert frame[14:22] == bytes.fromhex("60000000 0020 3a ff")
    assert frame[22:54] == VIP6.packed + all_nodes
    assert frame[54:56] == bytes([136, 0])
    assert frame[58:62] == bytes.fromhex("a0000000" if router else "20000000")
    assert frame[62:] == VIP6.packed + b"\x02\x01" + left.mac
    pseudo_header = VIP6.packed + all_nodes + struct.pack(">II", 32, 58)
    assert internet_checksum(pseudo_header + frame[54:]) == 0


def test_a_thousand_addresses_all_go_out(nodes: tuple[Node, Node]) -> None:
    left, right = nodes
    tap = wire_tap(right, ETH_P_ARP)
    tap.setsockopt(1, 33, 8 << 20)  # SO_RCVBUFFORCE
    addresses = [ip_interface(int(ip_address("10.1.0.1")) + n).ip for n in range(1000)]
    announce(left, *addresses)
    got = frames(tap, 2000)
    assert {frame[28:32] for frame in got} == {address.packed for address in addresses}
    tap.close()


def test_announcing_on_a_link_that_is_off_is_an_error(nodes: tuple[Node, Node]) -> None:
    left, _right = nodes
    with left.inside():
        announcer = Announcer(left.index, left.mac, "net0")
        left.ip("link", "set", "net0", "down")
        with pytest.raises(AnnounceError, match="3 announcements did not go out on net0") as raised:
            announcer.announce([VIP, VIP6])
        assert raised.value.errno == errno.ENETDOWN
        left.ip("link", "set", "net0", "up")
        announcer.announce([VIP, VIP6])
        announcer.close()


def test_an_interface_without_ethernet_address_is_refused() -> None:
    with pytest.raises(AnnounceError, match="tun0 has no Ethernet address"):
        Announcer(7, b"", "tun0")


def test_answers_to_others_are_so_many_a_second(nodes: tuple[Node, Node]) -> None:
    many: list[IPAddress] = [ip_address(f"10.7.{n // 200}.{n % 200}") for n in range(1000)]
    left, right = nodes
    tap = wire_tap(right, ETH_P_ARP)
    tap.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)  # SO_RCVBUFFORCE: room for them all
    with left.inside():
        announcer = Announcer(left.index, left.mac, "net0")
    assert announcer.answer(many, now=100.0) == many[200:]
    assert announcer.answer(many[200:], now=100.0) == many[200:]
    assert announcer.answer(many[200:], now=100.5) == many[300:]
    assert announcer.answer(many[300:], now=1000.0) == many[500:]
    announcer.announce([VIP])  # of our own accord: no matter what was answered
    last = frames(tap, 1002)[-1]
    assert last[28:32] == VIP.packed
    announcer.close()
    tap.close()
