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
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Literal, NamedTuple

from carpsidecar.linux.frames import NEIGHBOUR_SOLICITATION

_SO_ATTACH_FILTER = 26
_NET_OFF, _AD_OFF = 0x100000000 - 0x100000, 0x100000000 - 0x1000
_AD_PACKET_TYPE = _AD_OFF + 4
_PACKET_MULTICAST = 2  # host, broadcast, multicast; beyond it what is for others, or goes out
_TAKE_ALL, _REFUSE = 0xFFFFFFFF, 0
_JUMP = 0x05
_VALUES_MAX = 2500
"""A program has 4096 instructions at most, and each value takes less than one and a half."""
_LEAF = 16

_COMPATIBLE_SIZE = 36
_HARDENED_MIN, _HARDENED_MAX = 92, 492


IPAddress = IPv4Address | IPv6Address


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


def half_after_header(offset: int) -> Step:
    return Step(0x48, offset)


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


def unless_at_least(value: int, label: str) -> Step:
    return Step(0x35, value, "", label)


def jump(label: str) -> Step:
    """However far: other jumps reach 255 instructions."""
    return Step(_JUMP, 0, label)


def answer(value: int) -> Step:
    return Step(0x06, value)


def among(values: Collection[int], found: str, missing: str) -> list[Step | str]:
    """Goes to one label where the value is one of these, else to the other. By halving: a thousand values cost ten
    comparisons."""

    def part(values: Sequence[int], name: str) -> list[Step | str]:
        if len(values) <= _LEAF:
            hit = f"{name} hit"
            return [*(when(value, hit) for value in values), jump(missing), hit, jump(found)]
        middle = len(values) // 2
        low, high = f"{name}0", f"{name}1"
        return [
            Step(0x25, values[middle - 1], "", low), jump(high),
            low, *part(values[:middle], low),
            high, *part(values[middle:], high),
        ]  # fmt: skip

    return part(sorted(set(values)), f"among {found} ")


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

    def packed(step: Step, at: int) -> bytes:
        if step.code == _JUMP:
            return struct.pack("=HBBI", _JUMP, 0, 0, distance(step.when_true, at))
        true, false = distance(step.when_true, at), distance(step.when_false, at)
        return struct.pack("=HBBI", step.code, true, false, step.operand)

    return b"".join(packed(step, at) for at, step in enumerate(steps))


def attach(sock: socket.socket, program: bytes) -> None:
    code = array.array("B", program)
    address, _length = code.buffer_info()
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(program) // 8, address))


Vhids = Collection[int] | None
"""None: any."""


def carp_only(family: Literal[4, 6], vhids: Vhids = None) -> bytes:
    """Takes what has the shape of CARP and one of these vhids: whole, TTL 255, and either 36 bytes, version 2,
    type 1, authlen 7, or as long as packets of the hardened mode are, and of one of its kinds."""
    return _by_shape(family, vhids, [], _TAKE_ALL, _TAKE_ALL, _REFUSE)


def strangers_only(family: Literal[4, 6], vhids: Vhids = None) -> bytes:
    """The exact complement of carp_only: the same program with its two answers exchanged."""
    return _by_shape(family, vhids, [], _REFUSE, _REFUSE, _TAKE_ALL)


def members_only(family: Literal[4, 6], vhids: Vhids, sources: Collection[IPAddress]) -> bytes:
    """Of what carp_only takes, what comes from these sources; for IPv6 from any with the same last four bytes."""
    return _by_shape(family, vhids, sources, _TAKE_ALL, _REFUSE, _REFUSE)


def newcomers_only(family: Literal[4, 6], vhids: Vhids, sources: Collection[IPAddress]) -> bytes:
    """Of what carp_only takes, what members_only does not."""
    return _by_shape(family, vhids, sources, _REFUSE, _TAKE_ALL, _REFUSE)


def carp_from(vhids: Vhids, sources: Collection[IPv4Address]) -> bytes:
    """For a cooked packet socket: of what carp_only takes, what other machines send from these addresses."""
    incoming = [byte(_AD_PACKET_TYPE), when_above(_PACKET_MULTICAST, "other"), byte(9), unless(112, "other")]
    return _by_shape(4, vhids, sources, _TAKE_ALL, _REFUSE, _REFUSE, incoming)


def claims_of(
    family: Literal[4, 6], own_mac: bytes, addresses: Sequence[IPv4Address] | Sequence[IPv6Address]
) -> bytes:
    """Takes ARP (4) or neighbour advertisements (6) by others about these addresses, and what others ask for with a
    rank (`linux.probe`).

    For IPv6 also about any with the same last four bytes, and for more than 2,500 about any at all: whoever reads
    compares for himself.
    """
    mac_at, shape, about = (22, _ARP_SHAPE, _ARP_ABOUT) if family == 4 else (6, _NEIGHBOUR_SHAPE, _NEIGHBOUR_ABOUT)
    ends = {int.from_bytes(address.packed[-4:], "big") for address in addresses}
    of_ours = [*about, *among(ends, "take", "other")] if len(ends) <= _VALUES_MAX else []
    return assemble(
        [
            byte(_AD_PACKET_TYPE), when_above(_PACKET_MULTICAST, "drop"),
            *shape,
            word(mac_at), unless(int.from_bytes(own_mac[:4], "big"), "foreign"),
            half(mac_at + 4), when(int.from_bytes(own_mac[4:], "big"), "drop"),
            "foreign", jump("search"),
            "drop", answer(_REFUSE),
            "search", *of_ours,
            "take", answer(_TAKE_ALL),
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


def nftables_losses() -> bytes:
    """For the fence: takes news of nftables that begin with the deletion of a table, chain, rule or set."""
    deletions = [when(socket.htons(10 << 8 | what), "take") for what in (2, 5, 8, 11)]
    return assemble([half(4), *deletions, answer(_REFUSE), "take", answer(_TAKE_ALL)])


# Ethernet, IPv4, 6 and 4 bytes long; a sender address of 0.0.0.0 is a probe and claims nothing (RFC 5227): it is
# taken where its target hardware address, a rank, is not zero.
_ARP_SHAPE: list[Step | str] = [
    word(14), unless(0x00010800, "drop"),
    half(18), unless(0x0604, "drop"),
    word(28), unless(0, "shaped"),
    word(32), unless(0, "shaped"),
    half(36), when(0, "drop"),
    "shaped",
]  # fmt: skip
_ARP_ABOUT: list[Step | str] = [word(28), unless(0, "about"), word(38), "about"]
# An advertisement, or a solicitation whose second option is a nonce.
_NEIGHBOUR_SHAPE: list[Step | str] = [
    half(20), unless(58 << 8 | 255, "drop"),
    byte(54), when(136, "shaped"),
    unless(NEIGHBOUR_SOLICITATION, "drop"),
    half(86), unless(14 << 8 | 1, "drop"),
    "shaped",
]  # fmt: skip
_NEIGHBOUR_ABOUT: list[Step | str] = [word(74)]


def _by_shape(
    family: Literal[4, 6],
    vhids: Vhids,
    sources: Collection[IPAddress],
    known: int,
    unknown: int,
    other: int,
    first: Sequence[Step] = (),
) -> bytes:
    if family == 4:
        header = [
            half(6), keep_bits(0x3FFF), unless(0, "other"),  # more fragments, or a later one
            byte(8), unless(255, "other"),
            header_length(),
        ]  # fmt: skip
        payload_length, source = [half(2), minus_header()], word(12)
    else:
        header = [byte(_NET_OFF + 7), unless(255, "other"), Step(0x01, 0)]  # X = 0: the payload stands at byte 0
        payload_length, source = [length()], word(_NET_OFF + 20)
    ends = [int.from_bytes(address.packed[-4:], "big") for address in sources]
    return assemble(
        [
            *first, *header,
            *payload_length, unless_at_least(_COMPATIBLE_SIZE, "other"),
            byte_after_header(0), when(0x21, "compatible"),
            when(0x32, "hardened"), when(0x33, "hardened"), unless(0x34, "other"),
            "hardened",
            *payload_length, unless_at_least(_HARDENED_MIN, "other"), when_above(_HARDENED_MAX, "other"),
            half_after_header(2), jump("vhid"),
            "compatible", *payload_length, unless(_COMPATIBLE_SIZE, "other"),
            byte_after_header(3), unless(7, "other"),
            byte_after_header(1), jump("vhid"),
            "other", answer(other),
            "vhid", *([] if vhids is None else among(vhids, "ours", "not ours")),
            "ours", source, *(among(ends, "known", "unknown") if ends else [jump("unknown")]),
            "known", answer(known),
            "unknown", answer(unknown),
            "not ours", answer(other),
        ]
    )  # fmt: skip
