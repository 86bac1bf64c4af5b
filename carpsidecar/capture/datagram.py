"""From a frame to what IP carries in it, as far as that is protocol 112.

Source: IEEE 802.1Q (tags), tcpdump.org/linktypes (LINUX_SLL and LINUX_SLL2), RFC 791, RFC 8200 (extension headers).
"""

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from carpsidecar.capture.pcap import Frame, LinkType
from carpsidecar.protocol.packet import CARP_PROTOCOL, IPAddress

_IPV4, _IPV6 = 0x0800, 0x86DD
_TAGS = (0x8100, 0x88A8, 0x9100)
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION_OPTIONS = 0, 43, 44, 60
_OUTGOING = 4
_ETHERNET_HARDWARE = 1


class Datagram(NamedTuple):
    """A packet of protocol 112. `payload` is what was captured of it, `length` what its IP header says."""

    source: IPAddress
    destination: IPAddress
    ttl: int
    payload: bytes
    length: int
    fragment: bool
    mac_source: bytes
    """Empty where the link has none, or the capture does not say."""
    mac_destination: bytes
    vlans: tuple[int, ...]
    outgoing: bool


class _Link(NamedTuple):
    """What stands before the IP header."""

    kind: int
    start: int
    mac_source: bytes = b""
    mac_destination: bytes = b""
    outgoing: bool = False


def datagram_of(frame: Frame) -> Datagram | None:
    """The packet of protocol 112 in this frame; None where something else, or too little, is in it."""
    try:
        link = _link(frame)
        kind, start, vlans = link.kind, link.start, []
        while kind in _TAGS:
            tag, kind = struct.unpack_from("!HH", frame.data, start)
            vlans.append(tag & 0x0FFF)
            start += 4
        packet = frame.data[start:]
        if kind == _IPV4:
            found = _ipv4(packet)
        elif kind == _IPV6:
            found = _ipv6(packet)
        else:
            return None
    except (struct.error, IndexError):
        return None
    if found is None:
        return None
    return found._replace(
        mac_source=link.mac_source,
        mac_destination=link.mac_destination,
        vlans=tuple(vlans),
        outgoing=frame.outgoing or link.outgoing,
    )


def _link(frame: Frame) -> _Link:
    data = frame.data
    match frame.link_type:
        case LinkType.ETHERNET:
            destination, source, kind = struct.unpack_from("!6s6sH", data)
            return _Link(kind, 14, source, destination)
        case LinkType.LINUX_SLL:
            packet_type, hardware, length, address, kind = struct.unpack_from("!HHH8sH", data)
            return _Link(kind, 16, _mac(hardware, length, address), outgoing=packet_type == _OUTGOING)
        case LinkType.LINUX_SLL2:
            kind, _index, hardware, packet_type, length, address = struct.unpack_from("!HxxIHBB8s", data)
            return _Link(kind, 20, _mac(hardware, length, address), outgoing=packet_type == _OUTGOING)
        case LinkType.RAW | LinkType.IPV4 | LinkType.IPV6:
            return _Link(_IPV6 if data[0] >> 4 == 6 else _IPV4, 0)


def _mac(hardware: int, length: int, address: bytes) -> bytes:
    return address[:6] if hardware == _ETHERNET_HARDWARE and length == 6 else b""


def _ipv4(packet: bytes) -> Datagram | None:
    first, total, fragment, ttl, protocol, source, destination = struct.unpack_from("!BxHxxHBBxx4s4s", packet)
    header = (first & 15) * 4
    if first >> 4 != 4 or header < 20 or protocol != CARP_PROTOCOL:
        return None
    # A card that cuts packets itself leaves the length to it: then what is there counts.
    length = total - header if total >= header else len(packet) - header
    return _datagram(
        IPv4Address(source), IPv4Address(destination), ttl, packet, header, length, bool(fragment & 0x3FFF)
    )


def _ipv6(packet: bytes) -> Datagram | None:
    first, payload, following, ttl, source, destination = struct.unpack_from("!B3xHBB16s16s", packet)
    if first >> 4 != 6:
        return None
    at, fragment = 40, False
    while following in (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION_OPTIONS):
        size = 8 if following == _FRAGMENT else (packet[at + 1] + 1) * 8
        fragment = fragment or following == _FRAGMENT
        following = packet[at]
        at += size
    if following != CARP_PROTOCOL:
        return None
    length = max(0, 40 + payload - at)
    return _datagram(IPv6Address(source), IPv6Address(destination), ttl, packet, at, length, fragment)


def _datagram(
    source: IPAddress, destination: IPAddress, ttl: int, packet: bytes, start: int, length: int, fragment: bool
) -> Datagram:
    payload = packet[start : start + length]
    return Datagram(source, destination, ttl, payload, length, fragment, b"", b"", (), False)
