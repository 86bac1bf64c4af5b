"""Packets made for the tests, from the RFCs and not by carpsidecar's own code."""

import struct
from ipaddress import ip_address

from carpsidecar.capture.pcap import Frame, LinkType

MAC = bytes.fromhex("02ca0000000b")
GROUP_MAC = bytes.fromhex("01005e000012")


def checksum(data: bytes) -> int:
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def with_checksum(payload: bytes, before: bytes = b"") -> bytes:
    zeroed = payload[:6] + b"\0\0" + payload[8:]
    return zeroed[:6] + checksum(before + zeroed).to_bytes(2, "big") + zeroed[8:]


def carp(**changes: int) -> bytes:
    """An advertisement of vhid 42; `b2=9` sets byte 2, and the checksum is right."""
    payload = bytearray(struct.pack("!BBBBBBHQ20s", 0x21, 42, 100, 7, 0, 1, 0, 77, bytes(range(20))))
    for place, value in changes.items():
        payload[int(place[1:])] = value
    return with_checksum(bytes(payload))


def vrrp2(*addresses: str, priority: int = 100, seconds: int = 1) -> bytes:
    raw = b"".join(ip_address(address).packed for address in addresses)
    return with_checksum(
        struct.pack("!BBBBBBH", 0x21, 51, priority, len(addresses), 0, seconds, 0) + raw + bytes(8)
    )


def vrrp3(*addresses: str, source: str, destination: str, priority: int = 100, centiseconds: int = 100) -> bytes:
    raw = b"".join(ip_address(address).packed for address in addresses)
    payload = struct.pack("!BBBBHH", 0x31, 51, priority, len(addresses), centiseconds, 0) + raw
    ends = ip_address(source).packed + ip_address(destination).packed
    return with_checksum(payload, ends + struct.pack("!II", len(payload), 112))


def ipv4(payload: bytes, source: str = "10.99.0.11", ttl: int = 255, fragment: int = 0x4000) -> bytes:
    ends = ip_address(source).packed + ip_address("224.0.0.18").packed
    return struct.pack("!BBHHHBBH", 0x45, 0x10, 20 + len(payload), 0, fragment, ttl, 112, 0) + ends + payload


def ipv6(payload: bytes, source: str = "fe80::b", hops: int = 255, extensions: bytes = b"") -> bytes:
    """`extensions` is one hop-by-hop header, or nothing."""
    ends = ip_address(source).packed + ip_address("ff02::12").packed
    following = 0 if extensions else 112
    head = struct.pack("!IHBB", 6 << 28, len(extensions) + len(payload), following, hops)
    return head + ends + extensions + payload


def kind_of(packet: bytes) -> int:
    return 0x86DD if packet[0] >> 4 == 6 else 0x0800


def ethernet(packet: bytes, *vlans: int) -> bytes:
    tags = b"".join(struct.pack("!HH", 0x8100, vlan) for vlan in vlans)
    return GROUP_MAC + MAC + tags + struct.pack("!H", kind_of(packet)) + packet


def sll(packet: bytes, packet_type: int = 1) -> bytes:
    return struct.pack("!HHH8sH", packet_type, 1, 6, MAC, kind_of(packet)) + packet


def sll2(packet: bytes, packet_type: int = 1) -> bytes:
    return struct.pack("!HxxIHBB8s", kind_of(packet), 3, 1, packet_type, 6, MAC) + packet


def frame(data: bytes, link_type: LinkType = LinkType.ETHERNET) -> Frame:
    return Frame(1_700_000_000_123_456_789, link_type, data, len(data))
