"""Frames made by hand: advertisements that are forged or altered, and claims of an address.

Written from the RFCs and not with carpsidecar's own code, which is what is tested with it.
"""

import struct
from ipaddress import IPv4Address, ip_address

CARP_MAC = bytes.fromhex("01005e000012")
BROADCAST_MAC = b"\xff" * 6
_ETH_P_IP, _ETH_P_ARP, _ETH_P_IPV6 = 0x0800, 0x0806, 0x86DD


def altered(payload: bytes, **changes: int) -> bytes:
    """The same advertisement with other bytes (`b2=0` sets byte 2), and a checksum that is right again."""
    changed = bytearray(payload)
    for place, value in changes.items():
        changed[int(place[1:])] = value
    changed[6:8] = b"\0\0"
    return bytes(changed[:6]) + _checksum(bytes(changed)) + bytes(changed[8:])


def ipv4(mac: bytes, source: object, payload: bytes, ttl: int = 255) -> bytes:
    """An Ethernet frame to CARP's group with this payload of protocol 112."""
    ends = ip_address(str(source)).packed + IPv4Address("224.0.0.18").packed
    head = struct.pack("!BBHHHBBH", 0x45, 0x10, 20 + len(payload), 0, 0x4000, ttl, 112, 0) + ends
    head = head[:10] + _checksum(head) + head[12:]
    return CARP_MAC + mac + b"\x08\x00" + head + payload


def ipv6(mac: bytes, source: object, payload: bytes, hop_limit: int = 255) -> bytes:
    """The same over IPv6, to ff02::12."""
    head = struct.pack("!IHBB", 0x6000_0000, len(payload), 112, hop_limit)
    ends = ip_address(str(source)).packed + ip_address("ff02::12").packed
    return bytes.fromhex("333300000012") + mac + struct.pack("!H", _ETH_P_IPV6) + head + ends + payload


def gratuitous_arp(mac: bytes, ip: str) -> bytes:
    """RFC 5227, 3: an ARP announcement."""
    raw = ip_address(ip).packed
    body = struct.pack("!HHBBH", 1, _ETH_P_IP, 6, 4, 1) + mac + raw + bytes(6) + raw
    return BROADCAST_MAC + mac + struct.pack("!H", _ETH_P_ARP) + body


def neighbour_advertisement(mac: bytes, ip: str) -> bytes:
    """RFC 4861, 4.4: unsolicited, to all nodes, with the override flag."""
    source, target = ip_address(ip).packed, ip_address("ff02::1").packed
    body = struct.pack("!BBHI", 136, 0, 0, 0x2000_0000) + source + b"\x02\x01" + mac
    pseudo = source + target + struct.pack("!II", len(body), 58)
    body = body[:2] + _checksum(pseudo + body) + body[4:]
    head = struct.pack("!IHBB", 0x6000_0000, len(body), 58, 255) + source + target
    return bytes.fromhex("333300000001") + mac + struct.pack("!H", _ETH_P_IPV6) + head + body


def _checksum(data: bytes) -> bytes:
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")
