"""rtnetlink messages, byte by byte."""

import struct
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_interface

import pytest

from carpsidecar.linux.lease import Lease
from carpsidecar.linux.monitor import LinkMoved, events_from
from carpsidecar.linux.netlink import Netlink
from carpsidecar.linux.rtnetlink import (
    HEADER,
    HeldAddress,
    Route,
    address_from,
    addresses_request,
    attributes,
    link_from,
    links_request,
    route_from,
    route_request,
    split,
)


class Recorder(Netlink):
    """Takes batches instead of the kernel."""

    def __init__(self) -> None:
        self.batches: list[bytes] = []

    def execute(self, batch: bytes) -> None:
        self.batches.append(batch)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", len(value) + 4, kind) + value + bytes(-len(value) % 4)


LIFETIMES = attribute(6, struct.pack("=IIII", 0, 3, 0, 0))


OWN = HeldAddress(7, ip_interface("192.0.2.1/24"), True, 0, False, False, False, False, None)


@pytest.mark.parametrize(
    ("beside", "prefix_length", "scope", "attributes_before_lifetimes"),
    [
        ([OWN], 32, 0, attribute(8, struct.pack("=I", 0x200))),
        ([], 24, 254, attribute(9, struct.pack("=I", 65535)) + attribute(8, struct.pack("=I", 0))),
    ],
    ids=["beside an own address of its network", "alone"],
)
def test_the_renewal_of_an_ipv4_address_byte_by_byte(
    beside: list[HeldAddress], prefix_length: int, scope: int, attributes_before_lifetimes: bytes
) -> None:
    recorder = Recorder()
    Lease(recorder, 7, [IPv4Interface("192.0.2.9/24")], 3, beside).renew()
    address = bytes([192, 0, 2, 9])
    body = struct.pack("=BBBBI", 2, prefix_length, 0, scope, 7) + attribute(2, address) + attribute(1, address)
    body += attributes_before_lifetimes + LIFETIMES
    assert recorder.batches == [HEADER.pack(16 + len(body), 20, 0x501, 0, 0) + body]


def test_the_renewal_of_an_ipv6_address_byte_by_byte() -> None:
    recorder = Recorder()
    Lease(recorder, 7, [IPv6Interface("fd00::9/128")], 3, []).renew()
    address = IPv6Interface("fd00::9").ip.packed
    body = struct.pack("=BBBBI", 10, 128, 0, 0, 7) + attribute(2, address) + attribute(1, address)
    body += attribute(8, struct.pack("=I", 0x202)) + LIFETIMES
    assert recorder.batches == [HEADER.pack(16 + len(body), 20, 0x501, 0, 0) + body]


@pytest.mark.parametrize(("event", "moved"), [(3, True), (4, True), (2, False), (None, False)])
def test_a_bond_that_fails_over_has_moved(event: int | None, moved: bool) -> None:
    """linux/if_link.h: IFLA_EVENT, of which 3 is a bond's failover and 4 a request to announce."""
    body = struct.pack("=BxHiII", 0, 1, 7, 0x11043, 0) + attribute(3, b"bond0\0")
    if event is not None:
        body += attribute(44, struct.pack("=I", event))
    events = events_from(16, HEADER.pack(16 + len(body), 16, 0, 0, 0) + body)
    assert [LinkMoved(7) in events, len(events)] == [moved, 1 + moved]


def test_one_batch_for_all_and_the_same_each_time() -> None:
    recorder = Recorder()
    lease = Lease(recorder, 7, [ip_interface(f"10.0.{n}.1/32") for n in range(13)], 3, [])
    lease.renew()
    lease.renew()
    lease.release()
    first, second, removal = recorder.batches
    assert first == second
    assert [sequence for _kind, _flags, sequence, _message in split(first)] == list(range(13))
    assert [kind for kind, *_rest in split(removal)] == [21] * 13


def test_a_link_is_up_only_with_carrier() -> None:
    def link(flags: int, hardware: int = 1) -> bytes:
        body = struct.pack("=BxHiII", 0, hardware, 5, flags, 0)
        body += attribute(3, b"eth7\0") + attribute(1, b"\2\0\0\0\0\1")
        return HEADER.pack(16 + len(body), 16, 0, 0, 0) + body

    assert link_from(link(0x1 | 0x40 | 0x10000)).up
    for flags in (0x1, 0x1 | 0x40, 0x1 | 0x10000, 0x40 | 0x10000):
        assert not link_from(link(flags)).up
    assert link_from(link(0)).name == "eth7"
    assert link_from(link(0)).mac == b"\2\0\0\0\0\1"
    assert link_from(link(0, hardware=768)).mac == b""  # a tunnel's address is no MAC
    assert link_from(link(0x8)).loopback


@pytest.mark.parametrize("cut", [1, 8, 15, 17, 20])
def test_what_is_cut_short_is_left_out(cut: int) -> None:
    whole = links_request()
    assert len(list(split(whole + whole))) == 2
    assert len(list(split(whole + whole[:cut]))) == 1
    assert list(split(b"\x02\0\0\0" + bytes(20))) == []  # a length that cannot be
    assert list(attributes(b"\x02\0\x01\0", 0)) == []


def test_a_route_is_asked_for_the_whole_address() -> None:
    request = route_request(IPv4Address("192.0.2.1"))
    assert request[16:19] == bytes([2, 32, 0])
    assert dict(attributes(request, 28)) == {1: bytes([192, 0, 2, 1])}


def test_a_route_to_an_address_with_a_zone_is_asked_without_it() -> None:
    request = route_request(IPv6Address("fe80::1%3"))
    assert request[16:19] == bytes([10, 128, 0])
    assert dict(attributes(request, 28)) == {1: IPv6Address("fe80::1").packed}


def test_the_request_for_one_interfaces_addresses_byte_by_byte() -> None:
    assert addresses_request(7) == HEADER.pack(24, 22, 0x301, 1, 0) + struct.pack("=BBBBI", 0, 0, 0, 0, 7)


def test_an_address_with_all_that_matters_of_it() -> None:
    """On a point-to-point link, with flags beyond the header's eight bits and a route with a metric."""
    body = struct.pack("=BBBBI", 2, 30, 0x80, 253, 7)
    body += attribute(1, bytes([192, 0, 2, 2])) + attribute(2, bytes([192, 0, 2, 1])) + attribute(3, b"eth0:1\0")
    body += attribute(8, struct.pack("=I", 0x220)) + attribute(9, struct.pack("=I", 65535)) + LIFETIMES
    held = address_from(HEADER.pack(16 + len(body), 20, 0, 0, 0) + body)
    there = ip_interface("192.0.2.1/30")
    assert held == HeldAddress(7, there, False, 253, False, True, False, True, 3, route_metric=65535)


def test_an_ipv6_address_that_is_held_for_ever() -> None:
    address = IPv6Interface("fd00::9/64")
    body = struct.pack("=BBBBI", 10, 64, 0x80, 0, 7) + attribute(1, address.ip.packed)
    body += attribute(6, struct.pack("=IIII", 0xFFFFFFFF, 0xFFFFFFFF, 0, 0))
    held = address_from(HEADER.pack(16 + len(body), 20, 0, 0, 0) + body)
    assert held == HeldAddress(7, address, True, 0, False, False, False, False, None)


@pytest.mark.parametrize(
    ("kind", "attributes_of_it", "route"),
    [
        (1, attribute(5, bytes([192, 0, 2, 1])), Route(7, IPv4Address("192.0.2.9"), True, False)),
        (1, attribute(18, struct.pack("=H", 10) + bytes(16)), Route(7, IPv4Address("192.0.2.9"), True, False)),
        (1, b"", Route(7, IPv4Address("192.0.2.9"), False, False)),
        (2, b"", Route(7, IPv4Address("192.0.2.9"), False, True)),
        (6, b"", None),
    ],
    ids=["by a gateway", "by an IPv6 gateway", "direct", "of this node", "blackhole"],
)
def test_a_route(kind: int, attributes_of_it: bytes, route: Route | None) -> None:
    body = struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 254, 0, 0, kind, 0) + attribute(4, struct.pack("=I", 7))
    body += attribute(7, bytes([192, 0, 2, 9])) + attributes_of_it
    assert route_from(HEADER.pack(16 + len(body), 24, 0, 0, 0) + body) == route
