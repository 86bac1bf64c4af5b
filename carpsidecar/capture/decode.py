"""What a packet of protocol 112 says, and which of the checks of its protocol it fails.

Source: `carpsidecar.protocol.packet` for CARP, RFC 3768 for VRRP 2, RFC 5798 for VRRP 3.
"""

import struct
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct

from carpsidecar.capture.datagram import Datagram, datagram_of
from carpsidecar.capture.pcap import Frame
from carpsidecar.linux.frames import internet_checksum
from carpsidecar.protocol import hardened_packet
from carpsidecar.protocol.hardened_packet import KINDS, HardenedPacket
from carpsidecar.protocol.packet import (
    CARP_AUTHLEN,
    CARP_PROTOCOL,
    CARP_SIZE,
    CARP_TTL,
    VERSION_COMPATIBLE,
    Advertisement,
    IPAddress,
    checksum_fits,
    is_vrrp,
    unpack,
)
from carpsidecar.protocol.timing import BOW_OUT_ADVBASE, BOW_OUT_ADVSKEW

_VRRP_HEADER = 8
_VRRP2_AUTH = 8
_CHECKSUM_AT = 6


class Vrrp(Struct, frozen=True):
    """The fields of a VRRP packet; what version 3 no longer has is None."""

    version: int
    kind: int
    vrid: int
    priority: int
    addresses: tuple[IPAddress, ...]
    auth_type: int | None
    interval_cs: int
    """Centiseconds, also where version 2 says seconds."""
    checksum: int


class Packet(Struct, frozen=True):
    """A packet of protocol 112. `message` is None where it is neither CARP nor VRRP, or too short to tell."""

    frame: Frame
    datagram: Datagram
    message: Advertisement | HardenedPacket | Vrrp | None
    problems: tuple[str, ...] = ()

    @property
    def is_bow_out(self) -> bool:
        """A master that leaves; VRRP says so with priority 0."""
        if isinstance(self.message, Vrrp):
            return self.message.priority == 0
        return (
            self.message is not None
            and self.message.advbase == BOW_OUT_ADVBASE
            and self.message.advskew == BOW_OUT_ADVSKEW
        )


def decode(frame: Frame) -> Packet | None:
    """The packet of protocol 112 in this frame; None where there is none."""
    datagram = datagram_of(frame)
    if datagram is None:
        return None
    problems = [] if datagram.ttl == CARP_TTL else [f"ttl {datagram.ttl}, not {CARP_TTL}"]
    message: Advertisement | HardenedPacket | Vrrp | None
    if datagram.fragment:
        return Packet(frame, datagram, None, (*problems, "a fragment"))
    if len(datagram.payload) < datagram.length:
        missing = datagram.length - len(datagram.payload)
        return Packet(frame, datagram, None, (*problems, f"{missing} bytes are not in the capture"))
    if datagram.payload and datagram.payload[0] in KINDS:
        message = hardened_packet.unpack(datagram.payload)
        problems += _hardened_problems(datagram, message)
    elif _looks_like_carp(datagram):
        message = unpack(datagram.payload[:CARP_SIZE])
        problems += _carp_problems(datagram, message)
    elif (vrrp := _vrrp(datagram)) is not None:
        message = vrrp
        problems += _vrrp_problems(datagram, vrrp)
    else:
        message = None
        problems.append(f"length {datagram.length}: neither CARP ({CARP_SIZE}) nor VRRP")
    return Packet(frame, datagram, message, tuple(problems))


def _looks_like_carp(datagram: Datagram) -> bool:
    payload = datagram.payload
    if len(payload) < CARP_SIZE:
        return False
    return not is_vrrp(payload) and (payload[3] == CARP_AUTHLEN or len(payload) == CARP_SIZE)


def _carp_problems(datagram: Datagram, message: Advertisement) -> list[str]:
    problems = []
    if datagram.length != CARP_SIZE:
        problems.append(f"length {datagram.length}, not {CARP_SIZE}")
    if message.version != VERSION_COMPATIBLE:
        problems.append(f"version and type {message.version:#04x}, not {VERSION_COMPATIBLE:#04x}")
    if message.authlen != CARP_AUTHLEN:
        problems.append(f"authlen {message.authlen}, not {CARP_AUTHLEN}")
    if message.vhid == 0:
        problems.append("vhid 0")
    if not checksum_fits(datagram.payload[:CARP_SIZE], datagram.source):
        problems.append(_checksum_problem(message.checksum, datagram.payload[:CARP_SIZE]))
    return problems


def _hardened_problems(datagram: Datagram, message: HardenedPacket | None) -> list[str]:
    if message is None:
        return [f"length {datagram.length}: not what the packet says of itself"]
    return ["vhid 0"] if message.vhid == 0 else []


def _vrrp(datagram: Datagram) -> Vrrp | None:
    payload = datagram.payload
    if len(payload) < _VRRP_HEADER or payload[0] >> 4 not in (2, 3):
        return None
    first, vrid, priority, count, four, five, checksum = struct.unpack_from("!BBBBBBH", payload)
    version = first >> 4
    size = 16 if version == 3 and datagram.source.version == 6 else 4
    end = len(payload) - (_VRRP2_AUTH if version == 2 else 0)
    there = max(0, min(count, (end - _VRRP_HEADER) // size))
    raw = [payload[at : at + size] for at in range(_VRRP_HEADER, _VRRP_HEADER + there * size, size)]
    return Vrrp(
        version=version,
        kind=first & 15,
        vrid=vrid,
        priority=priority,
        addresses=tuple(IPv6Address(one) if size == 16 else IPv4Address(one) for one in raw),
        auth_type=four if version == 2 else None,
        interval_cs=five * 100 if version == 2 else (four & 15) << 8 | five,
        checksum=checksum,
    )


def _vrrp_problems(datagram: Datagram, message: Vrrp) -> list[str]:
    problems = []
    payload = datagram.payload
    if message.kind != 1:
        problems.append(f"type {message.kind}, not 1")
    if message.vrid == 0:
        problems.append("vrid 0")
    size = 16 if message.version == 3 and datagram.source.version == 6 else 4
    expected = _VRRP_HEADER + payload[3] * size + (_VRRP2_AUTH if message.version == 2 else 0)
    if len(payload) != expected:
        problems.append(f"length {len(payload)}, not {expected} for {payload[3]} addresses")
    if message.version == 2:
        if internet_checksum(payload):
            problems.append(_checksum_problem(message.checksum, payload))
    elif not _has_pseudo_checksum(datagram):
        if internet_checksum(payload) == 0:
            problems.append("checksum without pseudo-header, as in version 2")
        else:
            problems.append(_checksum_problem(message.checksum, payload, _pseudo_header(datagram)))
    return problems


def _has_pseudo_checksum(datagram: Datagram) -> bool:
    return internet_checksum(_pseudo_header(datagram) + datagram.payload) == 0


def _pseudo_header(datagram: Datagram) -> bytes:
    ends = datagram.source.packed + datagram.destination.packed
    return ends + struct.pack("!II", datagram.length, CARP_PROTOCOL)


def _checksum_problem(found: int, payload: bytes, before: bytes = b"") -> str:
    zeroed = payload[:_CHECKSUM_AT] + b"\0\0" + payload[_CHECKSUM_AT + 2 :]
    return f"checksum {found:#06x}, not {internet_checksum(before + zeroed):#06x}"
