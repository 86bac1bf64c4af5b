"""Protocol 112 across a cable: what passes the filters, and what our packets look like on the wire."""

import errno
import socket
import struct
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal

import pytest

from carpsidecar.linux.carp_socket import CarpSocket, Received, StrangerSocket
from carpsidecar.linux.frames import internet_checksum, ipv4_packet
from tests.network.linux.helpers import Node, carp_payload, frames, gather, inject, readable, two_nodes, wire_tap

pytestmark = pytest.mark.network

Family = Literal[4, 6]
ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 3, 0x0800, 0x86DD
GROUP = {4: ip_address("224.0.0.18"), 6: ip_address("ff02::12")}
GROUP_MAC = {4: bytes.fromhex("01005e000012"), 6: bytes.fromhex("333300000012")}
SOURCE = {4: ip_address("10.0.0.1"), 6: ip_address("fd00::1")}
PEER = {4: ip_address("10.0.0.2"), 6: ip_address("fd00::2")}
SECOND = {4: ip_address("10.0.0.77"), 6: ip_address("fd00::77")}


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[Node, Node]]:
    with two_nodes() as pair:
        pair[0].ip("addr", "add", "10.0.0.77/24", "dev", "net0")
        pair[0].ip("addr", "add", "fd00::77/64", "dev", "net0")
        pair[0].sysctl("ipv4/ip_no_pmtu_disc", "1")  # so that DF is there only because we ask for it
        yield pair


def open_carp(node: Node, family: Family) -> CarpSocket:
    with node.inside():
        carp = CarpSocket("net0", node.index, family)
    carp.join(GROUP[family])
    return carp


def packet(family: Family, payload: bytes, ttl: int = 255, *, options: bytes = b"", fragment: int = 0) -> bytes:
    """An Ethernet frame from node 0 to the group, made by hand."""
    source, group = SOURCE[family].packed, GROUP[family].packed
    if family == 4:
        words = 5 + len(options) // 4
        length = words * 4 + len(payload)
        fields = (0x40 | words, 0x10, length, 9, fragment, ttl, 112, 0)
        header = struct.pack(">BBHHHBBH", *fields) + source + group + options
        header = header[:10] + struct.pack(">H", internet_checksum(header)) + header[12:]
        kind = ETH_P_IP
    else:
        header = struct.pack(">IHBB", 6 << 28, len(payload), 112, ttl) + source + group
        kind = ETH_P_IPV6
    return GROUP_MAC[family] + bytes([2, 0, 0, 0, 0, 1]) + struct.pack(">H", kind) + header + payload


FAMILIES: list[Family] = [4, 6]
GOOD = carp_payload()
HARDENED = b"\x32\x02\x01\x02\x01\x00" + bytes(86)
ANSWER = b"\x34\x01\x01\x02\x01\x00\x01\x90" + bytes(484)
PASSES = {
    "compatible": (carp_payload(), 255),
    "hardened": (HARDENED, 255),
    "hardened, a question": (b"\x33" + HARDENED[1:], 255),
    "hardened, the longest answer": (ANSWER, 255),
    "any vhid, skew and demotion": (carp_payload(b1=255, b2=254, b4=9), 255),
}
STRANGE = {
    "VRRP version 2": (b"\x21\x2a\x64\x01\x00\x01\xba\x52" + bytes(12), 255),
    "VRRP version 3 with the size and the authlen of CARP": (carp_payload(b0=0x31), 255),
    "hardened, one byte short": (HARDENED[:-1], 255),
    "hardened, one byte long": (ANSWER + b"\0", 255),
    "version 3, type 5": (b"\x35" + HARDENED[1:], 255),
    "VRRP version 3": (b"\x31\x2a\x64\x07\x00\x64\xba\x52" + bytes(4), 255),
    "version 1": (carp_payload(b0=0x11), 255),
    "type 2": (carp_payload(b0=0x22), 255),
    "authlen 8": (carp_payload(b3=8), 255),
    "TTL 254": (GOOD, 254),
    "TTL 1": (GOOD, 1),
    "one byte short": (GOOD[:-1], 255),
    "one byte long": (GOOD + b"\0", 255),
    "three bytes": (GOOD[:3], 255),
    "empty": (b"", 255),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", PASSES)
def test_what_has_the_shape_of_carp_passes(nodes: tuple[Node, Node], family: Family, name: str) -> None:
    payload, ttl = PASSES[name]
    carp, strangers = open_carp(nodes[1], family), open_strangers(nodes[1], family)
    inject(nodes[0], packet(family, payload, ttl))
    received = gather(carp, lambda: carp.receive(10), lambda got: len(got) >= 1)
    assert received == [Received(payload, 255, SOURCE[family])]
    assert type(received[0].source) is type(SOURCE[family])
    assert strangers.sample(10) == ([], 0)
    carp.close()
    strangers.close()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", STRANGE)
def test_what_has_not_wakes_nobody_and_is_sampled(nodes: tuple[Node, Node], family: Family, name: str) -> None:
    payload, ttl = STRANGE[name]
    carp, strangers = open_carp(nodes[1], family), open_strangers(nodes[1], family)
    inject(nodes[0], packet(family, payload, ttl))
    received = gather(strangers, lambda: strangers.sample(10)[0], lambda got: len(got) >= 1)
    assert received == [Received(payload, ttl, SOURCE[family])]
    assert not readable(carp, 0)
    carp.close()
    strangers.close()


def open_strangers(node: Node, family: Family) -> StrangerSocket:
    with node.inside():
        return StrangerSocket("net0", node.index, family)


def test_a_header_with_options_is_read_right(nodes: tuple[Node, Node]) -> None:
    carp = open_carp(nodes[1], 4)
    inject(nodes[0], packet(4, GOOD, options=b"\x94\x04\0\0"))  # router alert
    assert gather(carp, lambda: carp.receive(10), bool) == [Received(GOOD, 255, SOURCE[4])]
    carp.close()


def test_a_fragment_alone_reaches_neither(nodes: tuple[Node, Node]) -> None:
    carp, strangers = open_carp(nodes[1], 4), open_strangers(nodes[1], 4)
    inject(nodes[0], packet(4, GOOD + bytes(4), fragment=0x2000))
    inject(nodes[0], packet(4, GOOD))
    assert gather(carp, lambda: carp.receive(10), bool) == [Received(GOOD, 255, SOURCE[4])]
    assert strangers.sample(10) == ([], 0)
    carp.close()
    strangers.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_flood_of_strangers_is_counted_and_wakes_nobody(nodes: tuple[Node, Node], family: Family) -> None:
    carp, strangers = open_carp(nodes[1], family), open_strangers(nodes[1], family)
    with nodes[0].inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        sender.bind(("net0", 0))
        for _ in range(500):
            sender.send(packet(family, b"vrrp"))
        sender.send(packet(family, GOOD))
    assert gather(carp, lambda: carp.receive(10), bool) == [Received(GOOD, 255, SOURCE[family])]
    first, dropped = strangers.sample(5)
    assert len(first) == 5
    rest, again = strangers.sample(1000)
    assert again == 0
    assert len(first) + len(rest) + dropped in (500, 501)  # the kernel may count the good one along
    assert dropped > 300
    inject(nodes[0], packet(family, b"more"))
    more = gather(strangers, lambda: strangers.sample(10)[0], bool)
    assert [received.payload for received in more] == [b"more"]
    carp.close()
    strangers.close()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("multicast", [True, False])
def test_what_we_send(nodes: tuple[Node, Node], family: Family, second: bool, multicast: bool) -> None:
    source = (SECOND if second else SOURCE)[family]
    destination = (GROUP if multicast else PEER)[family]
    kind = ETH_P_IP if family == 4 else ETH_P_IPV6
    tap = wire_tap(nodes[1], kind)
    sender, receiver = open_carp(nodes[0], family), open_carp(nodes[1], family)
    sender.send(GOOD, source, destination)
    protocol_at, ttl_at = (23, 22) if family == 4 else (20, 21)
    (frame,) = frames(tap, 1, lambda frame: frame[protocol_at] == 112)
    assert frame[6:12] == nodes[0].mac
    assert frame[:6] == (GROUP_MAC[family] if multicast else nodes[1].mac)
    assert frame[ttl_at] == 255
    if family == 4:
        assert frame[15] == 0x10
        assert struct.unpack(">H", frame[20:22])[0] == 0x4000
        assert frame[26:34] == source.packed + destination.packed
    else:
        assert struct.unpack(">I", frame[14:18])[0] >> 20 & 0xFF == 0x10
        assert frame[22:54] == source.packed + destination.packed
    assert frame.endswith(GOOD)
    assert gather(receiver, lambda: receiver.receive(10), bool) == [Received(GOOD, 255, source)]
    assert not readable(sender, 0)  # what we say we do not hear
    for each in (tap, sender, receiver):
        each.close()


def test_link_local_source_comes_without_scope(nodes: tuple[Node, Node]) -> None:
    own = IPv6Address("fe80::ff:fe00:1")
    sender, receiver = open_carp(nodes[0], 6), open_carp(nodes[1], 6)
    sender.send(GOOD, own, GROUP[6])
    (received,) = gather(receiver, lambda: receiver.receive(10), bool)
    assert isinstance(received.source, IPv6Address)
    assert received.source == own
    assert received.source.scope_id is None
    sender.close()
    receiver.close()


def test_broadcast_looks_like_that_of_ucarp(nodes: tuple[Node, Node]) -> None:
    tap = wire_tap(nodes[1], ETH_P_IP)
    sender, receiver = open_carp(nodes[0], 4), open_carp(nodes[1], 4)
    with nodes[0].inside():
        sender.send_broadcast(GOOD, IPv4Address("10.0.0.1"), IPv4Address("224.0.0.18"))
    (frame,) = frames(tap, 1, lambda frame: frame[23] == 112)
    assert frame[:14] == b"\xff" * 6 + nodes[0].mac + b"\x08\0"
    assert frame[14:24] == bytes.fromhex("45100038 00004000 ff70")
    assert internet_checksum(frame[14:34]) == 0
    assert frame[26:34] == bytes([10, 0, 0, 1, 224, 0, 0, 18])
    assert frame[34:] == GOOD
    assert gather(receiver, lambda: receiver.receive(10), bool) == [Received(GOOD, 255, SOURCE[4])]
    for each in (tap, sender, receiver):
        each.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_bow_out_may_leave_from_an_address_that_is_gone(nodes: tuple[Node, Node], family: Family) -> None:
    carp, gone = open_carp(nodes[0], family), {4: ip_address("10.0.0.88"), 6: ip_address("fd00::88")}[family]
    tap = wire_tap(nodes[1], ETH_P_IP if family == 4 else ETH_P_IPV6)
    carp.send(GOOD, gone, GROUP[family])
    at = 26 if family == 4 else 22
    frames(tap, 1, lambda frame: frame.endswith(GOOD) and frame[at : at + len(gone.packed)] == gone.packed)
    tap.close()
    carp.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_sending_while_the_link_is_off_is_an_error(family: Family) -> None:
    with two_nodes() as (left, _right):
        carp = open_carp(left, family)
        left.ip("link", "set", "net0", "down")
        with pytest.raises(OSError, match="cannot send from") as raised:
            carp.send(GOOD, SOURCE[family], GROUP[family])
        assert raised.value.errno in (errno.ENETUNREACH, errno.ENETDOWN, errno.EINVAL, errno.ENODEV)
        if family == 4:
            with left.inside(), pytest.raises(OSError, match="cannot send from"):
                carp.send_broadcast(GOOD, IPv4Address("10.0.0.1"), IPv4Address("224.0.0.18"))
        left.ip("link", "set", "net0", "up")
        carp.rejoin()
        carp.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_rejoin_tells_the_switches_again(nodes: tuple[Node, Node], family: Family) -> None:
    """IGMPv3 or MLDv2: the group appears in a report that goes out because of the rejoin."""
    carp = open_carp(nodes[0], family)
    carp.join(GROUP[family])
    tap = wire_tap(nodes[1], ETH_P_ALL)
    group = GROUP[family].packed
    destination = bytes.fromhex("01005e000016" if family == 4 else "333300000016")

    def is_report(frame: bytes) -> bool:
        return frame[:6] == destination and frame[6:12] == nodes[0].mac and frame[16:].find(group) > 0

    carp.rejoin()
    assert frames(tap, 1, is_report)
    tap.close()
    carp.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_group_on_an_interface_that_is_gone(family: Family) -> None:
    with two_nodes() as (left, _right):
        carp = open_carp(left, family)
        left.ip("link", "del", "net0")
        with pytest.raises(OSError, match=f"cannot join {GROUP[family]} on net0"):
            carp.rejoin()
        carp.close()
        with left.inside(), pytest.raises(OSError, match="net0"):
            CarpSocket("net0", 99, family)


def test_receive_is_bounded(nodes: tuple[Node, Node]) -> None:
    carp = open_carp(nodes[1], 4)
    for _ in range(5):
        inject(nodes[0], packet(4, GOOD))
    got = gather(carp, lambda: carp.receive(2), bool)
    assert len(got) <= 2
    gather(carp, lambda: carp.receive(1), lambda rest: len(rest) + len(got) == 5)
    carp.close()


def advertisement_from(source: str) -> bytes:
    """An Ethernet frame from node 1 to the group, over IPv4."""
    packet = ipv4_packet(112, IPv4Address(source), IPv4Address("224.0.0.18"), GOOD)
    return GROUP_MAC[4] + bytes([2, 0, 0, 0, 0, 2]) + b"\x08\x00" + packet


def received_from(carp: CarpSocket, count: int) -> list[str]:
    return [str(r.source) for r in gather(carp, lambda: carp.receive(64), lambda got: len(got) >= count)]


@pytest.mark.parametrize("family", FAMILIES)
def test_other_vhids_go_to_the_strangers(nodes: tuple[Node, Node], family: Family) -> None:
    with nodes[1].inside():
        strangers = StrangerSocket("net0", nodes[1].index, family, [7, 8])
    carp = open_carp(nodes[1], family)
    carp.narrow_to([7, 8])
    for vhid in (9, 8):
        inject(nodes[0], packet(family, carp_payload(b1=vhid)))
    (taken,) = gather(carp, lambda: carp.receive(10), lambda got: len(got) == 1)
    assert taken.payload[1] == 8
    (strange,) = gather(strangers, lambda: strangers.sample(10)[0], lambda got: len(got) == 1)
    assert strange.payload[1] == 9
    strangers.close()
    carp.close()


def test_a_flood_of_unknown_senders_takes_no_room_from_members(nodes: tuple[Node, Node]) -> None:
    carp = open_carp(nodes[0], 4)
    with nodes[0].inside():
        carp.prefer([ip_address("10.0.0.2")])
    with nodes[1].inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        sender.bind(("net0", 0))
        invented = [advertisement_from(f"10.0.0.{n}") for n in range(100, 150)]
        for _ in range(200):
            for frame in invented:
                sender.send(frame)
            sender.send(advertisement_from("10.0.0.2"))
    heard = 0
    while heard < 200:
        assert readable(carp)
        received = carp.receive(64)
        assert sum(str(r.source) != "10.0.0.2" for r in received) <= 16
        heard += sum(str(r.source) == "10.0.0.2" for r in received)
    assert carp.unread() > 0
    assert not carp.missed()
    carp.prefer([])
    carp.receive(100_000)
    inject(nodes[1], advertisement_from("10.0.0.99"))
    assert received_from(carp, 1) == ["10.0.0.99"]
    carp.close()


def test_a_flood_under_a_members_address_is_noticed(nodes: tuple[Node, Node]) -> None:
    carp = open_carp(nodes[0], 4)
    with nodes[0].inside():
        carp.prefer([ip_address("10.0.0.2")])
    assert not carp.missed()
    with nodes[1].inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        sender.bind(("net0", 0))
        frame = advertisement_from("10.0.0.2")
        for _ in range(12000):
            sender.send(frame)
    assert carp.missed()
    assert not carp.missed()
    carp.close()


@pytest.mark.parametrize("accept_local", ["0", "1"])
def test_a_peer_that_sends_from_an_address_that_we_hold(nodes: tuple[Node, Node], accept_local: str) -> None:
    """The kernel drops it as a martian; where it is told not to, it is still heard once and not twice."""
    holder = nodes[0]
    carp = open_carp(holder, 4)
    holder.ip("addr", "add", "10.0.0.100/32", "dev", "net0")
    holder.sysctl("ipv4/conf/net0/accept_local", accept_local)
    try:
        with holder.inside():
            carp.hear_from([IPv4Address("10.0.0.100"), IPv6Address("fd00::100")], 100.0, 2.0)
        for source in ("10.0.0.100", "10.0.0.2", "10.0.0.100"):
            inject(nodes[1], advertisement_from(source))
        inject(holder, advertisement_from("10.0.0.100"))  # our own sending is not heard
        assert sorted(received_from(carp, 3)) == ["10.0.0.100", "10.0.0.100", "10.0.0.2"]
        assert not readable(carp, 0.1)
        with holder.inside():
            carp.hear_from([], 101.0, 2.0)
        holder.ip("addr", "del", "10.0.0.100/32", "dev", "net0")
        inject(nodes[1], advertisement_from("10.0.0.100"))
        assert received_from(carp, 1) == ["10.0.0.100"]
    finally:
        holder.sysctl("ipv4/conf/net0/accept_local", "0")
        carp.close()


def test_who_sends_from_an_address_that_we_hold_is_heard_at_first_and_then_now_and_again(
    nodes: tuple[Node, Node],
) -> None:
    carp = open_carp(nodes[0], 4)
    heard = []
    with nodes[0].inside():
        for second in range(100, 125):
            carp.hear_from([IPv4Address("10.0.0.100")], float(second), 2.0)
            if carp._from_held is not None:
                heard.append(second)
    assert heard == [100, 101, 110, 111, 120, 121]
    carp.close()


def test_closing_a_socket_for_which_the_kernel_waits_is_left_to_somebody_else(nodes: tuple[Node, Node]) -> None:
    left_to_do: list[Callable[[], None]] = []
    with nodes[0].inside():
        carp = CarpSocket("net0", nodes[0].index, 4, left_to_do.append)
        carp.hear_from([IPv4Address("10.0.0.100")], 100.0, 2.0)
        opened = carp._from_held
        assert opened is not None
        carp.hear_from([], 101.0, 2.0)
    assert opened.fileno() >= 0
    [close] = left_to_do
    close()
    assert opened.fileno() == -1
    carp.close()
