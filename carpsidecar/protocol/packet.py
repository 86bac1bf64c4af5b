"""An advertisement on the wire: 36 bytes, network order.

    byte 0     version (high nibble), type (low nibble)     byte 5      advbase, seconds
    byte 1     vhid, 1 to 255                               bytes 6-7   Internet checksum, no pseudo-header
    byte 2     advskew, 1/256 s                             bytes 8-15  counter
    byte 3     authlen: 7                                   bytes 16-35 digest
    byte 4     zero, or an OpenBSD peer's demotion counter

Source: struct carp_header in OpenBSD's ip_carp.h and in ucarp's ip_carp.h.
"""

import struct
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

IPAddress = IPv4Address | IPv6Address

CARP_PROTOCOL = 112
CARP_TTL = 255
CARP_SIZE = 36
CARP_AUTHLEN = 7
CARP_GROUP_IPV4 = "224.0.0.18"
CARP_GROUP_IPV6 = "ff02::12"

VERSION_COMPATIBLE = 0x21
"""Version 2, type 1: ucarp and the BSDs. The hardened mode has other packets: `hardened_packet`."""

_VRRP_3 = 0x31

HEADER_SIZE = 6
"""The fields before the checksum."""

_PACKET = struct.Struct("!BBBBBBH8s20s")
_WORDS = struct.Struct("!18H")
_PSEUDO_HEADER = struct.Struct("!20H")
_PSEUDO_HEADER_END = IPv6Address(CARP_GROUP_IPV6).packed + struct.pack("!II", CARP_SIZE, CARP_PROTOCOL)


class Drop(StrEnum):
    """Why a packet was not taken, each counted by itself; in the order in which they are checked."""

    OWN = "own"
    LENGTH = "length"
    VRRP = "vrrp"
    TTL = "ttl"
    VERSION = "version"
    AUTHLEN = "authlen"
    VHID = "vhid"
    CHECKSUM = "checksum"
    DIGEST = "digest"
    REPLAY = "replay"
    SESSION = "session"
    """Authentic, but of a sender whose session is not known yet (hardened mode)."""
    LATE = "late"
    """Authentic, but later than the network can make it (hardened mode)."""


class Advertisement(NamedTuple):
    """The fields of one packet. Nothing is checked but its length."""

    version: int
    vhid: int
    advskew: int
    authlen: int
    demotion: int
    advbase: int
    checksum: int
    counter: bytes
    digest: bytes


def unpack(payload: bytes) -> Advertisement:
    """Read 36 bytes of IP payload.

    Raises:
        struct.error: the payload is shorter or longer.
    """
    return Advertisement(*_PACKET.unpack(payload))


def header(vhid: int, advskew: int, advbase: int) -> bytes:
    """The six bytes before the checksum. Byte 4 is zero: we demote by advskew, as FreeBSD does."""
    return bytes((VERSION_COMPATIBLE, vhid, advskew, CARP_AUTHLEN, 0, advbase))


def pack(head: bytes, counter: bytes, digest: bytes) -> bytes:
    """The 36 bytes to send, with their checksum."""
    body = counter + digest
    total = checksum(head + b"\0\0" + body)
    return head + total.to_bytes(2, "big") + body


def checksum(packet: bytes) -> int:
    """The Internet checksum (RFC 1071) of 36 bytes; zero where the packet holds its own right one."""
    total: int = sum(_WORDS.unpack(packet))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def checksum_fits(payload: bytes, source: IPAddress) -> bool:
    """Whether 36 bytes hold their own right checksum.

    Over IPv6 one with a pseudo-header (RFC 8200, section 8.1) is right too: NetBSD has sent such ones since 2016.
    """
    total: int = sum(_WORDS.unpack(payload))
    if total % 0xFFFF == 0:
        return True
    if source.version == 4:
        return False
    total += sum(_PSEUDO_HEADER.unpack(source.packed + _PSEUDO_HEADER_END))
    return total % 0xFFFF == 0


def is_vrrp(payload: bytes) -> bool:
    """Whether a payload of protocol 112 has the shape of VRRP 2 (RFC 3768) or 3 (RFC 5798), not of CARP."""
    if len(payload) < 8 or payload[0] not in (VERSION_COMPATIBLE, _VRRP_3):
        return False
    if payload[0] == VERSION_COMPATIBLE and len(payload) == CARP_SIZE and payload[3] == CARP_AUTHLEN:
        return False
    addresses = payload[3]
    if payload[0] == VERSION_COMPATIBLE:
        return len(payload) == 8 + 4 * addresses + 8
    return len(payload) in (8 + 4 * addresses, 8 + 16 * addresses)
