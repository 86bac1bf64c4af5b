"""The frames that we put on the wire by our own hand, as bytes.

Source: RFC 826 and 5227 (ARP), RFC 5944 section 4.6 (gratuitous replies), RFC 4861 section 4.4 (neighbour
advertisements), RFC 791 (IPv4), RFC 1071 (checksum).
"""

import struct
from ipaddress import IPv4Address, IPv6Address

ETH_P_IP, ETH_P_ARP, ETH_P_IPV6 = 0x0800, 0x0806, 0x86DD
NEIGHBOUR_SOLICITATION = 135
BROADCAST_MAC = b"\xff" * 6
_ALL_NODES_MAC = bytes.fromhex("333300000001")
_ALL_NODES = IPv6Address("ff02::1").packed
_ICMPV6 = 58
_ROUTER, _OVERRIDE = 0x80000000, 0x20000000
_LOW_DELAY, _DONT_FRAGMENT = 0x10, 0x4000


def internet_checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def gratuitous_arp(mac: bytes, address: IPv4Address) -> list[bytes]:
    """The address as request and as reply, because there are stacks and switches that heed only one of them.

    The request is the ARP announcement of RFC 5227 section 2.3, target hardware address all zeroes. In the reply it
    is the address that caches are to learn, as RFC 5944 section 4.6 has it.
    """
    return [_arp(1, mac, address, b"\0" * 6), _arp(2, mac, address, mac)]


def neighbour_advertisement(mac: bytes, address: IPv6Address, router: bool) -> bytes:
    """Unsolicited, to all nodes, with override set: whoever knows another MAC is to forget it."""
    flags = _OVERRIDE | (_ROUTER if router else 0)
    link_layer_address = struct.pack(">BB6s", 2, 1, mac)
    body = struct.pack(">BBHI16s", 136, 0, 0, flags, address.packed) + link_layer_address
    pseudo_header = address.packed + _ALL_NODES + struct.pack(">II", len(body), _ICMPV6)
    checksum = internet_checksum(pseudo_header + body)
    body = body[:2] + struct.pack(">H", checksum) + body[4:]
    header = struct.pack(">IHBB16s16s", 6 << 28, len(body), _ICMPV6, 255, address.packed, _ALL_NODES)
    return _ethernet(_ALL_NODES_MAC, mac, ETH_P_IPV6) + header + body


def ipv4_packet(protocol: int, source: IPv4Address, destination: IPv4Address, payload: bytes) -> bytes:
    """TTL 255, low delay, never fragmented: what an advertisement's header looks like."""
    length = 20 + len(payload)
    header = struct.pack(">BBHHHBBH", 0x45, _LOW_DELAY, length, 0, _DONT_FRAGMENT, 255, protocol, 0)
    addresses = source.packed + destination.packed
    checksum = struct.pack(">H", internet_checksum(header + addresses))
    return header[:10] + checksum + addresses + payload


def _arp(operation: int, mac: bytes, address: IPv4Address, target_mac: bytes) -> bytes:
    body = struct.pack(
        ">HHBBH6s4s6s4s", 1, ETH_P_IP, 6, 4, operation, mac, address.packed, target_mac, address.packed
    )
    return _ethernet(BROADCAST_MAC, mac, ETH_P_ARP) + body


def _ethernet(destination: bytes, source: bytes, kind: int) -> bytes:
    return struct.pack(">6s6sH", destination, source, kind)
