"""The filters, run by an interpreter of classic BPF that is written from the kernel's documentation."""

import random
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

import pytest

from carpsidecar.linux.frames import gratuitous_arp, neighbour_advertisement
from carpsidecar.linux.packet_filter import (
    assemble,
    byte,
    carp_only,
    claims_of,
    members_only,
    newcomers_only,
    no_renewals,
    strangers_only,
    unless,
)
from carpsidecar.linux.probe import arp_probe, neighbour_solicitation

OWN, FOREIGN = bytes.fromhex("020000000001"), bytes.fromhex("02bbbbbbbbbb")


def accepts(program: bytes, data: bytes, network_header: bytes = b"", packet_type: int = 0) -> int:
    """What the kernel would answer. A load beyond the end refuses."""
    steps = list(struct.iter_unpack("=HBBI", program))
    a = x = at = 0

    def load(offset: int, size: int) -> int | None:
        if offset == 0xFFFFF004:
            return packet_type
        source, start = (network_header, offset - 0xFFF00000) if offset >= 0xFFF00000 else (data, offset)
        return int.from_bytes(source[start : start + size], "big") if start + size <= len(source) else None

    while True:
        code, yes, no, k = steps[at]
        at += 1
        if code == 0x06:
            return int(k)
        if code in (0x20, 0x28, 0x30, 0x48, 0x50):
            value = load(k + x if code in (0x48, 0x50) else k, {0x20: 4, 0x28: 2, 0x48: 2}.get(code, 1))
            if value is None:
                return 0
            a = value
        elif code == 0x80:
            a = len(data)
        elif code == 0xB1:
            x = (data[k] & 15) * 4
        elif code == 0x01:
            x = k
        elif code == 0x1C:
            a = (a - x) & 0xFFFFFFFF
        elif code == 0x54:
            a &= k
        elif code == 0x15:
            at += yes if a == k else no
        elif code == 0x25:
            at += yes if a > k else no
        elif code == 0x35:
            at += yes if a >= k else no
        elif code == 0x05:
            at += k
        else:
            raise AssertionError(f"unknown instruction {code:#x}")


def ip_header(family: Literal[4, 6], length: int, ttl: int = 255, fragment: int = 0x4000) -> bytes:
    if family == 4:
        return struct.pack(">BBHHHBBH8x", 0x45, 0x10, 20 + length, 0, fragment, ttl, 112, 0)
    return struct.pack(">IHBB32x", 6 << 28, length, 112, ttl)


def both(family: Literal[4, 6], payload: bytes, ttl: int = 255, fragment: int = 0x4000) -> tuple[bool, bool]:
    header = ip_header(family, len(payload), ttl, fragment)
    data = header + payload if family == 4 else payload
    return (
        bool(accepts(carp_only(family), data, header)),
        bool(accepts(strangers_only(family), data, header)),
    )


CARP = bytes([0x21, 1, 0, 7]) + bytes(32)


@pytest.mark.parametrize("family", [4, 6])
def test_carp_passes_one_and_not_the_other(family: Literal[4, 6]) -> None:
    assert both(family, CARP) == (True, False)
    for kind in (0x32, 0x33, 0x34):
        for size in (92, 492):
            assert both(family, bytes([kind]) + bytes(size - 1)) == (True, False)


@pytest.mark.parametrize("family", [4, 6])
def test_by_vhid_and_sender_each_goes_to_one_of_three(family: Literal[4, 6]) -> None:
    """vhids have 8 bits in the compatible mode and 16 in the hardened one, in another place."""
    vhids = [7, *range(100, 200), 300]
    members = [IPv4Address(f"192.0.2.{n}") if family == 4 else IPv6Address(f"fe80::{n:x}") for n in range(1, 40)]
    programs = [members_only(family, vhids, members), newcomers_only(family, vhids, members)]
    programs.append(strangers_only(family, vhids))
    for vhid, sender, taker in ((7, 1, 0), (150, 39, 0), (7, 40, 1), (6, 1, 2), (200, 40, 2)):
        last = bytes([192, 0, 2, sender]) if family == 4 else bytes(3) + bytes([sender])
        for payload in (b"\x21" + bytes([vhid]) + CARP[2:], b"\x32\x00\x00" + bytes([vhid]) + bytes(88)):
            header = ip_header(family, len(payload))
            at = 12 if family == 4 else 20
            header = header[:at] + last + header[at + 4 :]
            data = header + payload if family == 4 else payload
            assert [bool(accepts(program, data, header)) for program in programs] == [n == taker for n in range(3)]
    hardened = b"\x32\x00" + (300).to_bytes(2, "big") + bytes(88)
    header = ip_header(family, len(hardened))
    data = header + hardened if family == 4 else hardened
    assert [bool(accepts(program, data, header)) for program in programs] == [False, True, False]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("payload", [b"", b"!", CARP[:35], CARP + b"\0", b"\x22" + CARP[1:], CARP[:3] + bytes(33)])
def test_anything_else_the_other_way_round(family: Literal[4, 6], payload: bytes) -> None:
    assert both(family, payload) == (False, True)


@pytest.mark.parametrize("family", [4, 6])
def test_another_ttl_is_strange(family: Literal[4, 6]) -> None:
    assert both(family, CARP, ttl=254) == (False, True)


@pytest.mark.parametrize("fragment", [0x2000, 0x0001, 0x6000])
def test_a_fragment_is_strange(fragment: int) -> None:
    assert both(4, CARP, fragment=fragment) == (False, True)


@pytest.mark.parametrize("family", [4, 6])
def test_the_two_are_complements_whatever_comes(family: Literal[4, 6]) -> None:
    chance = random.Random(112)
    for _ in range(3000):
        payload = bytearray(CARP[: chance.choice([36, 36, 36, 35, 4, 3, 0])])
        for _ in range(chance.randrange(2)):
            if payload:
                payload[chance.randrange(len(payload))] = chance.randrange(256)
        carp, stranger = both(family, bytes(payload), chance.choice([255, 255, 64]))
        assert carp != stranger


@pytest.mark.parametrize("count", [1, 16, 17, 255, 1000, 2501])
def test_claims(count: int) -> None:
    v4 = [IPv4Address(int(IPv4Address("192.0.2.0")) + n) for n in range(count)]
    v6 = [IPv6Address(int(IPv6Address("fd00::")) + n) for n in range(count)]
    arp, advertisement = claims_of(4, OWN, v4), claims_of(6, OWN, v6)
    for address in v4:
        assert accepts(arp, gratuitous_arp(FOREIGN, address)[0])
        assert not accepts(arp, gratuitous_arp(OWN, address)[1])
    for address6 in v6:
        assert accepts(advertisement, neighbour_advertisement(FOREIGN, address6, router=False))
        assert not accepts(advertisement, neighbour_advertisement(OWN, address6, router=False))
    in_kernel = count <= 2500
    for strange in (min(v4) - 1, max(v4) + 1, IPv4Address("203.0.113.1")):
        assert bool(accepts(arp, gratuitous_arp(FOREIGN, strange)[0])) != in_kernel
    assert max(len(arp), len(advertisement)) <= 8 * 4096
    assert not accepts(arp, gratuitous_arp(FOREIGN, IPv4Address("0.0.0.0"))[0])  # a probe claims nothing
    for packet_type in (3, 4, 5):  # for another host, outgoing, looped back
        assert not accepts(arp, gratuitous_arp(FOREIGN, v4[0])[0], packet_type=packet_type)


def test_questions_count_where_their_sender_is_about_to_take_the_address() -> None:
    v4, v6, rank = IPv4Address("192.0.2.100"), IPv6Address("fd00::1"), b"\1\0\xc0\0\2\1"
    source, all_nodes = IPv6Address("fe80::1"), IPv6Address("ff02::1")
    arp, neighbour = claims_of(4, OWN, [v4]), claims_of(6, OWN, [v6])
    assert accepts(arp, arp_probe(FOREIGN, v4, rank))
    assert not accepts(arp, arp_probe(FOREIGN, v4))
    assert not accepts(arp, arp_probe(FOREIGN, v4 + 1, rank))
    assert not accepts(arp, arp_probe(OWN, v4, rank))
    for to in (None, all_nodes):
        assert accepts(neighbour, neighbour_solicitation(FOREIGN, v6, source, rank, to))
    assert not accepts(neighbour, neighbour_solicitation(FOREIGN, v6, source))
    assert not accepts(neighbour, neighbour_solicitation(FOREIGN, v6 + 1, source, rank))
    assert not accepts(neighbour, neighbour_solicitation(OWN, v6, source, rank))


def test_renewals_are_refused_and_all_other_news_pass() -> None:
    def news(kind: int, flags: int) -> bytes:
        return struct.pack("=IHHIIBBBBI", 24, kind, 0, 0, 0, 2, 32, flags, 0, 1)

    program = no_renewals()
    deprecated, permanent = 0x20, 0x80
    assert not accepts(program, news(20, deprecated))
    assert not accepts(program, news(20, deprecated | 0x02))
    for kind, flags in ((20, 0), (20, permanent), (20, deprecated | permanent), (21, deprecated), (16, deprecated)):
        assert accepts(program, news(kind, flags))


def test_a_label_that_is_missing_is_found_out_when_assembling() -> None:
    with pytest.raises(KeyError):
        assemble([byte(0), unless(1, "nowhere")])
