"""Classic BPF programs: what the kernel throws away so that the process never wakes for it.

Source: Documentation/networking/filter.rst, linux/filter.h, net/core/filter.c. Where the program's byte 0 stands:
- raw IPv4 socket: at the IP header;
- raw IPv6 socket: behind the IPv6 header and its extensions, the header itself being at SKF_NET_OFF;
- AF_PACKET SOCK_RAW: at the Ethernet header;
- netlink socket: at the message header, whose numbers are in host order while BPF reads network order.

A load beyond the end refuses the packet whatever the program meant, so lengths are checked before contents.
"""

import array
import socket
import struct
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Literal, NamedTuple

_SO_ATTACH_FILTER = 26
_NET_OFF, _AD_OFF = 0x100000000 - 0x100000, 0x100000000 - 0x1000
_AD_PACKET_TYPE = _AD_OFF + 4
_PACKET_MULTICAST = 2  # host, broadcast, multicast; beyond it what is for others, or goes out
_TAKE_ALL, _REFUSE = 0xFFFFFFFF, 0
_ADDRESSES_IN_KERNEL_MAX = 16


class Step(NamedTuple):
    """One instruction. A jump names the label to go to; without one it goes on with the next step."""

    code: int
    operand: int = 0
    when_true: str = ""
    when_false: str = ""


def byte(offset: int) -> Step:
    return Step(0x30, offset)


def half(offset: int) -> Step:
    return Step(0x28, offset)


def word(offset: int) -> Step:
    return Step(0x20, offset)


def byte_after_header(offset: int) -> Step:
    return Step(0x50, offset)


def length() -> Step:
    return Step(0x80)


def header_length() -> Step:
    """X becomes the length of the IPv4 header at byte 0."""
    return Step(0xB1, 0)


def minus_header() -> Step:
    return Step(0x1C)


def keep_bits(mask: int) -> Step:
    return Step(0x54, mask)


def unless(value: int, label: str) -> Step:
    return Step(0x15, value, "", label)


def when(value: int, label: str) -> Step:
    return Step(0x15, value, label, "")


def when_above(value: int, label: str) -> Step:
    return Step(0x25, value, label, "")


def answer(value: int) -> Step:
    return Step(0x06, value)


def assemble(lines: Sequence[Step | str]) -> bytes:
    """Instructions, with labels between them as plain strings, to what the kernel takes."""
    places: dict[str, int] = {}
    steps: list[Step] = []
    for line in lines:
        if isinstance(line, str):
            places[line] = len(steps)
        else:
            steps.append(line)

    def distance(label: str, here: int) -> int:
        return places[label] - here - 1 if label else 0

    return b"".join(
        struct.pack("=HBBI", step.code, distance(step.when_true, at), distance(step.when_false, at), step.operand)
        for at, step in enumerate(steps)
    )


def attach(sock: socket.socket, program: bytes) -> None:
    code = array.array("B", program)
    address, _length = code.buffer_info()
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(program) // 8, address))


def carp_only(family: Literal[4, 6]) -> bytes:
    """Takes what has the shape of CARP: whole, TTL 255, 36 bytes, version 2 or 3, type 1, authlen 7."""
    return _by_shape(family, carp=_TAKE_ALL, other=_REFUSE)


def strangers_only(family: Literal[4, 6]) -> bytes:
    """The exact complement of carp_only: the same program with its two answers exchanged."""
    return _by_shape(family, carp=_REFUSE, other=_TAKE_ALL)


def claims_of(
    family: Literal[4, 6], own_mac: bytes, addresses: Sequence[IPv4Address] | Sequence[IPv6Address]
) -> bytes:
    """Takes ARP (4) or neighbour advertisements (6) by others about these addresses; up to 16 are matched here."""
    at, mac_at = (28, 22) if family == 4 else (62, 6)
    shape = _ARP_SHAPE if family == 4 else _ADVERTISEMENT_SHAPE
    few: list[Step | str] = []
    if len(addresses) <= _ADDRESSES_IN_KERNEL_MAX:
        for number, packed in enumerate(address.packed for address in addresses):
            for part, value in enumerate(struct.unpack(f">{len(packed) // 4}I", packed)):
                few += [word(at + 4 * part), unless(value, f"next {number}")]
            few += [answer(_TAKE_ALL), f"next {number}"]
        few.append(answer(_REFUSE))
    return assemble(
        [
            byte(_AD_PACKET_TYPE), when_above(_PACKET_MULTICAST, "other"),
            *shape,
            word(mac_at), unless(int.from_bytes(own_mac[:4], "big"), "foreign"),
            half(mac_at + 4), when(int.from_bytes(own_mac[4:], "big"), "other"),
            "foreign", *few, answer(_TAKE_ALL),
            "other", answer(_REFUSE),
        ]
    )  # fmt: skip


def no_renewals() -> bytes:
    """For the monitor: refuses news of an address that is deprecated and not permanent, as leases are."""
    new_address = socket.htons(20)
    return assemble(
        [
            half(4), unless(new_address, "take"),
            byte(18), keep_bits(0x80 | 0x20), unless(0x20, "take"),
            answer(_REFUSE),
            "take", answer(_TAKE_ALL),
        ]
    )  # fmt: skip


# Ethernet, IPv4, 6 and 4 bytes long; a sender address of 0.0.0.0 is a probe and claims nothing (RFC 5227).
_ARP_SHAPE = [
    word(14), unless(0x00010800, "other"),
    half(18), unless(0x0604, "other"),
    word(28), when(0, "other"),
]  # fmt: skip
_ADVERTISEMENT_SHAPE = [
    half(20), unless(58 << 8 | 255, "other"),
    byte(54), unless(136, "other"),
]  # fmt: skip


def _by_shape(family: Literal[4, 6], carp: int, other: int) -> bytes:
    if family == 4:
        header = [
            half(6), keep_bits(0x3FFF), unless(0, "other"),  # more fragments, or a later one
            byte(8), unless(255, "other"),
            header_length(), half(2), minus_header(), unless(36, "other"),
        ]  # fmt: skip
    else:
        header = [
            byte(_NET_OFF + 7), unless(255, "other"),
            length(), unless(36, "other"),
            Step(0x01, 0),  # X = 0: the payload stands at byte 0
        ]  # fmt: skip
    return assemble(
        [
            *header,
            byte_after_header(0), when(0x21, "known"), unless(0x31, "other"),
            "known", byte_after_header(3), unless(7, "other"),
            answer(carp),
            "other", answer(other),
        ]
    )  # fmt: skip
