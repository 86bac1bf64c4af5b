"""The 36 bytes: each field in its place, the checksum, and what VRRP looks like beside them."""

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carpsidecar.protocol.packet import (
    CARP_SIZE,
    HEADER_SIZE,
    VERSION_COMPATIBLE,
    Advertisement,
    checksum,
    checksum_fits,
    header,
    is_vrrp,
    pack,
    unpack,
)

COUNTER = bytes(range(1, 9))
DIGEST = bytes(range(100, 120))
BYTE = st.integers(0, 255)


def internet_checksum(packet: bytes) -> int:
    """RFC 1071 as its text has it, word by word with the carry put back at once; nothing shared with ours."""
    total = 0
    for high, low in zip(packet[::2], packet[1::2], strict=True):
        total += high * 256 + low
        if total > 0xFFFF:
            total -= 0xFFFF
    return 0xFFFF - total


def vrrp_2(addresses: int) -> bytes:
    """An advertisement of RFC 3768: addresses of 4 bytes, and 8 of authentication data."""
    return struct.pack("!BBBBBBH", 0x21, 42, 100, addresses, 0, 1, 0) + bytes(4 * addresses) + bytes(8)


def vrrp_3(addresses: int, address_size: int) -> bytes:
    """An advertisement of RFC 5798, which has no authentication data."""
    return struct.pack("!BBBBHH", 0x31, 42, 100, addresses, 100, 0) + bytes(address_size * addresses)


def test_every_field_is_where_the_bsds_have_it() -> None:
    packet = pack(header(vhid=42, advskew=100, advbase=3), COUNTER, DIGEST)

    assert len(packet) == CARP_SIZE == 36
    assert packet[0] == 0x21
    assert packet[1] == 42
    assert packet[2] == 100
    assert packet[3] == 7
    assert packet[4] == 0
    assert packet[5] == 3
    assert packet[8:16] == COUNTER
    assert packet[16:36] == DIGEST


def test_the_checksum_is_the_internet_checksum_without_a_pseudo_header() -> None:
    packet = pack(header(42, 100, 1), COUNTER, DIGEST)
    without = packet[:6] + b"\0\0" + packet[8:]

    assert int.from_bytes(packet[6:8], "big") == internet_checksum(without)


@given(st.binary(min_size=CARP_SIZE, max_size=CARP_SIZE))
def test_the_checksum_agrees_with_an_independent_one(packet: bytes) -> None:
    assert checksum(packet) == internet_checksum(packet)


@given(BYTE, BYTE, BYTE, st.binary(min_size=8, max_size=8), st.binary(min_size=20, max_size=20))
def test_what_was_packed_holds_its_own_checksum(
    vhid: int, advskew: int, advbase: int, counter: bytes, digest: bytes
) -> None:
    assert checksum(pack(header(vhid, advskew, advbase), counter, digest)) == 0


@given(BYTE, BYTE, BYTE, st.binary(min_size=8, max_size=8), st.binary(min_size=20, max_size=20))
def test_what_was_packed_is_unpacked_the_same(
    vhid: int, advskew: int, advbase: int, counter: bytes, digest: bytes
) -> None:
    packet = pack(header(vhid, advskew, advbase), counter, digest)

    read = unpack(packet)

    checked = int.from_bytes(packet[6:8], "big")
    assert read == Advertisement(VERSION_COMPATIBLE, vhid, advskew, 7, 0, advbase, checked, counter, digest)


@given(st.binary(min_size=CARP_SIZE, max_size=CARP_SIZE))
def test_any_36_bytes_are_read_field_by_field(packet: bytes) -> None:
    read = unpack(packet)

    assert bytes(read[:6]) == packet[:HEADER_SIZE]
    assert read.checksum.to_bytes(2, "big") + read.counter + read.digest == packet[HEADER_SIZE:]


@pytest.mark.parametrize("size", [0, 1, 35, 37, 64])
def test_another_size_is_not_read(size: int) -> None:
    with pytest.raises(struct.error):
        unpack(bytes(size))


@pytest.mark.parametrize("addresses", [1, 2, 5, 13, 255])
def test_vrrp_2_is_recognised_by_its_shape(addresses: int) -> None:
    assert is_vrrp(vrrp_2(addresses))


@pytest.mark.parametrize("addresses", [1, 2, 13])
@pytest.mark.parametrize("address_size", [4, 16])
def test_vrrp_3_is_recognised_by_its_shape(addresses: int, address_size: int) -> None:
    assert is_vrrp(vrrp_3(addresses, address_size))


def test_vrrp_2_with_five_addresses_has_36_bytes_and_is_still_no_carp() -> None:
    assert len(vrrp_2(5)) == CARP_SIZE
    assert is_vrrp(vrrp_2(5))


@given(st.binary(max_size=120))
def test_whatever_has_36_bytes_and_authlen_7_is_no_vrrp_2(payload: bytes) -> None:
    if len(payload) == CARP_SIZE and payload[0] == VERSION_COMPATIBLE and payload[3] == 7:
        assert not is_vrrp(payload)
    is_vrrp(payload)


def test_vrrp_3_with_seven_addresses_has_the_size_and_the_authlen_of_carp_and_is_still_none() -> None:
    assert len(vrrp_3(7, 4)) == CARP_SIZE
    assert vrrp_3(7, 4)[3] == 7
    assert is_vrrp(vrrp_3(7, 4))


def with_pseudo_header(packet: bytes, source: str, destination: str = "ff02::12") -> bytes:
    """The packet with a checksum as RFC 8200, section 8.1 has it, which is how NetBSD sends it."""
    ends = ip_address(source).packed + ip_address(destination).packed
    zeroed = packet[:6] + b"\0\0" + packet[8:]
    total = internet_checksum(ends + struct.pack("!II", len(packet), 112) + zeroed)
    return packet[:6] + total.to_bytes(2, "big") + packet[8:]


def test_over_ipv6_a_checksum_with_a_pseudo_header_is_right_too() -> None:
    plain = pack(header(42, 0, 1), COUNTER, DIGEST)
    netbsd = with_pseudo_header(plain, "fe80::b")

    assert checksum_fits(plain, ip_address("fe80::b"))
    assert checksum_fits(netbsd, ip_address("fe80::b"))
    assert not checksum_fits(netbsd, ip_address("fe80::c"))
    assert not checksum_fits(with_pseudo_header(plain, "fe80::b", "ff02::13"), ip_address("fe80::b"))
    assert not checksum_fits(netbsd, ip_address("192.0.2.11"))


@given(st.binary(min_size=CARP_SIZE, max_size=CARP_SIZE).filter(any))
def test_over_ipv4_only_the_packet_itself_counts(packet: bytes) -> None:
    assert checksum_fits(packet, ip_address("192.0.2.11")) == (internet_checksum(packet) == 0)


@pytest.mark.parametrize("size", range(8))
def test_what_is_shorter_than_a_vrrp_header_is_no_vrrp(size: int) -> None:
    assert not is_vrrp(b"\x21" * size)
