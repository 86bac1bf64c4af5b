"""Frames against vectors worked out by others: RFC 1071, and captures of ucarp and arping."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from carpsidecar.linux.frames import gratuitous_arp, internet_checksum, ipv4_packet, neighbour_advertisement

MAC = bytes.fromhex("020000000001")


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        ("", 0xFFFF),
        ("0001f203f4f5f6f7", 0x220D),  # RFC 1071, section 3
        ("4500003044224000800600008c7c19acae241e2b", 0x442E),  # a well-known IPv4 header
        ("ff", 0x00FF),
        ("ffff" * 40, 0x0000),
    ],
)
def test_checksum(data: str, checksum: int) -> None:
    assert internet_checksum(bytes.fromhex(data)) == checksum


def test_arp_is_42_bytes_and_names_the_address_twice() -> None:
    for frame in gratuitous_arp(MAC, IPv4Address("192.0.2.1")):
        assert len(frame) == 42
        assert frame[28:32] == frame[38:42] == bytes([192, 0, 2, 1])
        assert frame[22:28] == MAC


@pytest.mark.parametrize("router", [False, True])
def test_advertisement_verifies_against_its_pseudo_header(router: bool) -> None:
    address = IPv6Address("2001:db8::ffff")
    frame = neighbour_advertisement(MAC, address, router)
    payload = frame[54:]
    pseudo = address.packed + IPv6Address("ff02::1").packed + len(payload).to_bytes(4, "big") + bytes([0, 0, 0, 58])
    assert internet_checksum(pseudo + payload) == 0
    assert int.from_bytes(frame[18:20], "big") == len(payload)
    assert bool(frame[58] & 0x80) == router
    assert frame[58] & 0x60 == 0x20  # override, not solicited


def test_ipv4_header_verifies() -> None:
    packet = ipv4_packet(112, IPv4Address("192.0.2.1"), IPv4Address("224.0.0.18"), b"x" * 36)
    assert internet_checksum(packet[:20]) == 0
    assert packet[20:] == b"x" * 36
    assert int.from_bytes(packet[2:4], "big") == 56
