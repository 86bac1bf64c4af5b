"""A packet of the hardened mode on the wire: 92 bytes, and in an answer up to 400 more. Network order.

    byte 0       version 3 (high nibble), kind (low nibble)     bytes 16-23  fingerprint of the group's addresses
    byte 1       role                                           bytes 24-31  session, random
    bytes 2-3    vhid, 1 to 65535                               bytes 32-39  session time, microseconds
    byte 4       advbase, seconds                               bytes 40-47  nonce that is asked, or zero
    byte 5       advskew, 1/256 s                               bytes 48-55  nonce that is answered, or zero
    bytes 6-7    length of the details                          bytes 56-63  session that is asked; zero: all
    bytes 8-11   key id                                         bytes 64-71  its session time, as last heard
    bytes 12-15  seconds since the role last changed            bytes 72-    details, then 20 bytes of digest

Details: length and bytes of the name (UTF-8), the same of the software's version, the number of addresses, and as
many of them as there is room for, each a 4 or a 6 and its bytes.

The kinds begin at 2, because version 3 and type 1 is VRRP (RFC 5798).
"""

import struct
from collections.abc import Collection
from contextlib import suppress
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from carpsidecar.protocol.packet import IPAddress

_HEADER = struct.Struct("!BBHBBH4sI8s8sQ8s8s8sQ")
DIGEST_SIZE = 20
DETAILS_MAX = 400
SIZE_MIN = _HEADER.size + DIGEST_SIZE
SIZE_MAX = SIZE_MIN + DETAILS_MAX

NONE = bytes(8)
"""No nonce, or no session in particular."""

_NAME_MAX = 63
_VERSION_MAX = 31
_ROLE_AGE_MAX_S = 0xFFFFFFFF


class Kind(IntEnum):
    """The first byte."""

    ADVERTISEMENT = 0x32
    SOLICITATION = 0x33
    ANSWER = 0x34
    """Claims nothing. Answering no nonce it says only that its sender is there."""


KINDS = frozenset(map(int, Kind))
VERSION_HARDENED = 3


class Role(IntEnum):
    INIT = 0
    BACKUP = 1
    MASTER = 2
    FAULT = 3
    STOPPED = 4


class HardenedPacket(NamedTuple):
    kind: int
    role: int
    vhid: int
    advbase: int
    advskew: int
    key_id: bytes
    role_age_s: int
    fingerprint: bytes
    session: bytes
    time_us: int
    asked: bytes
    answered: bytes
    target: bytes
    target_time_us: int
    details: bytes = b""

    @property
    def version(self) -> int:
        return VERSION_HARDENED

    @property
    def demotion(self) -> int:
        """It is in the advskew."""
        return 0


class Details(NamedTuple):
    """What a member tells about itself in its answers."""

    name: str
    version: str
    addresses: tuple[IPAddress, ...]
    """As many as there was room for."""
    address_count: int


def pack(packet: HardenedPacket) -> bytes:
    """All but the digest."""
    details = packet.details[:DETAILS_MAX]
    return (
        _HEADER.pack(
            packet.kind,
            packet.role,
            packet.vhid,
            packet.advbase,
            packet.advskew,
            len(details),
            packet.key_id,
            min(packet.role_age_s, _ROLE_AGE_MAX_S),
            *packet[7:14],
        )
        + details
    )


def unpack(payload: bytes) -> HardenedPacket | None:
    """Read a whole payload, digest and all; None where its length is not what it says."""
    if len(payload) < SIZE_MIN:
        return None
    fields = _HEADER.unpack_from(payload)
    end = _HEADER.size + fields[5]
    if len(payload) != end + DIGEST_SIZE or len(payload) > SIZE_MAX:
        return None
    return HardenedPacket(*(fields[:5] + fields[6:] + (payload[_HEADER.size : end],)))


def pack_details(name: str, version: str, addresses: Collection[IPAddress]) -> bytes:
    packed = bytearray()
    for text, limit in ((name, _NAME_MAX), (version, _VERSION_MAX)):
        cut = text.encode()[:limit]
        packed += bytes((len(cut),)) + cut
    packed.append(min(len(addresses), 255))
    for address in sorted(addresses, key=lambda ip: (ip.version, ip)):
        if len(packed) + 1 + len(address.packed) > DETAILS_MAX:
            break
        packed += bytes((address.version,)) + address.packed
    return bytes(packed)


def unpack_details(packed: bytes) -> Details | None:
    """None where they can't be read, as those of a later version may be."""
    with suppress(IndexError, ValueError):
        name, at = _text(packed, 0)
        version, at = _text(packed, at)
        count, at = packed[at], at + 1
        addresses: list[IPAddress] = []
        while at < len(packed):
            if packed[at] == 4:
                addresses.append(IPv4Address(packed[at + 1 : at + 5]))
                at += 5
            else:
                addresses.append(IPv6Address(packed[at + 1 : at + 17]))
                at += 17
        return Details(name, version, tuple(addresses), count)
    return None


def _text(packed: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + packed[at]
    text = packed[at + 1 : end].decode(errors="replace")
    return "".join(c if c.isprintable() else "?" for c in text), end
