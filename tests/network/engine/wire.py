"""The segment as a machine sees it that speaks raw frames: what passes by, what is forged, what is sent again.

Written from the RFCs and not with carpsidecar's own code, which is what is tested with it.
"""

import select
import socket
import struct
import time
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address
from types import TracebackType
from typing import Self

from carpsidecar.lab.node import Node
from tests.network.engine.daemon import inside, mac_of

CARP_MAC = bytes.fromhex("01005e000012")
BROADCAST_MAC = b"\xff" * 6
_ETH_P_ALL, _ETH_P_IP, _ETH_P_ARP, _ETH_P_IPV6 = 0x0003, 0x0800, 0x0806, 0x86DD
_PAYLOAD_AT = 34  # Ethernet's 14 and IPv4's 20


class Wire:
    """A machine's network card, open for every frame."""

    def __init__(self, node: Node) -> None:
        def opened() -> socket.socket:
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            sock.bind(("eth0", _ETH_P_ALL))
            return sock

        self.mac = bytes.fromhex(mac_of(node).replace(":", ""))
        self._socket: socket.socket = inside(node, opened)

    def send(self, frame: bytes) -> None:
        self._socket.send(frame)

    def forget(self) -> None:
        """What comes from now on is news."""
        while select.select([self._socket], [], [], 0)[0]:
            self._socket.recv(2048)

    def advertisement(self, source: object, within_s: float = 5) -> bytes:
        """The next frame with CARP that this address sends."""
        raw = ip_address(str(source)).packed
        return self._next(lambda f: f[12:14] == b"\x08\x00" and f[23] == 112 and f[26:30] == raw, within_s)

    def announcement(self, ip: str, mac: str, within_s: float = 5) -> bytes:
        """The next gratuitous ARP or neighbour advertisement by which this MAC claims the address."""
        raw, hardware = ip_address(ip).packed, bytes.fromhex(mac.replace(":", ""))

        def is_it(frame: bytes) -> bool:
            if len(raw) == 4:
                return frame[12:14] == b"\x08\x06" and frame[22:32] == hardware + raw and frame[38:42] == raw
            return frame[6:14] == hardware + b"\x86\xdd" and frame[54:55] == b"\x88" and frame[62:78] == raw

        return self._next(is_it, within_s)

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _next(self, wanted: Callable[[bytes], bool], within_s: float) -> bytes:
        deadline = time.monotonic() + within_s
        while select.select([self._socket], [], [], max(0.0, deadline - time.monotonic()))[0]:
            frame = self._socket.recv(2048)
            if wanted(frame):
                return frame
        raise TimeoutError(f"no such frame in {within_s} s")


def payload_of(frame: bytes) -> bytes:
    return frame[_PAYLOAD_AT:]


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
