"""What differs between a peer and us, reported from its digest alone."""

import struct
from ipaddress import ip_address, ip_network

import pytest

from carpsidecar.capture.datagram import Datagram
from carpsidecar.doctor.digests import Message, address_difference, difference, fits
from carpsidecar.protocol import hardened_packet
from carpsidecar.protocol.auth import Accepted, Claim, CompatibleAuth
from carpsidecar.protocol.hardened import Hardened
from carpsidecar.protocol.hardened_packet import HardenedPacket, Role
from carpsidecar.protocol.keys import KeyRing
from carpsidecar.protocol.packet import IPAddress, unpack

SECRET = b"carp in the lab"
SOURCE = ip_address("10.99.0.11")


def ips(*texts: str) -> list[IPAddress]:
    return [ip_address(text) for text in texts]


CLAIM = Claim(Role.MASTER, 1, 100, 0.0)


def received(payload: bytes) -> Datagram:
    group = ip_address("224.0.0.18")
    return Datagram(SOURCE, group, 255, payload, len(payload), False, b"", b"", (), False)


def signed(passphrase: bytes, addresses: list[IPAddress]) -> tuple[Message, Datagram]:
    payload = CompatibleAuth(42, [Accepted(passphrase, addresses)], 7).advertisement(0.0, SOURCE, CLAIM)
    return unpack(payload), received(payload)


def hardened(passphrase: bytes, addresses: list[IPAddress]) -> tuple[HardenedPacket, Datagram]:
    group = Hardened(0.0, 42, KeyRing([passphrase]), addresses, bytes)
    payload = group.advertisement(1.0, SOURCE, CLAIM)
    packet = hardened_packet.unpack(payload)
    assert packet is not None
    return packet, received(payload)


OURS = ips("10.99.0.100", "10.99.0.101", "fd99::100")


@pytest.mark.parametrize(
    ("passphrase", "theirs", "words"),
    [
        (SECRET, OURS[:2], "its addresses are 10.99.0.100, 10.99.0.101: fd99::100 is missing there"),
        (SECRET, ips("10.99.0.101"), "its addresses are 10.99.0.101: 10.99.0.100, fd99::100 is missing there"),
        (SECRET, [*OURS, *ips("10.99.0.7")], "10.99.0.7 is more than here"),
        (SECRET, ips("10.99.0.9"), "its only address is 10.99.0.9"),
        (SECRET, ips("10.99.0.100", "10.99.0.2", "fd99::100"), "addresses are 10.99.0.100, 10.99.0.2, fd99::100"),
        (SECRET, ips("10.5.5.5"), "its only address is 10.5.5.5"),
        (SECRET + b"\n", OURS, "its passphrase has a line feed more at the end"),
        (SECRET + b"\r", OURS, "its passphrase has a carriage return more at the end"),
        (b'"' + SECRET + b'"', OURS, "its passphrase has quotes around it"),
        (SECRET.upper(), OURS, "its passphrase is in upper case"),
        (SECRET[:8], OURS, "its passphrase is ours cut after 8 bytes"),
        (SECRET + b"\n", OURS[:1], "a line feed more at the end; and its addresses are 10.99.0.100"),
        (b"something else", OURS, None),
        (SECRET, ips("172.16.0.1", "172.16.0.2"), None),
    ],
)  # fmt: skip
def test_what_differs(passphrase: bytes, theirs: list[IPAddress], words: str | None) -> None:
    message, datagram = signed(passphrase, theirs)
    assert not fits(message, datagram, [SECRET], OURS)
    found = difference(message, datagram, SECRET, OURS, ips("10.5.5.5"), [ip_network("10.99.0.0/24")])
    assert (found is None) if words is None else words in (found or "")


@pytest.mark.parametrize(
    ("passphrase", "words"),
    [(SECRET + b"\n", "a line feed more"), (SECRET.upper(), "in upper case"), (b"something else", None)],
)
def test_a_hardened_digest_is_bad_only_by_its_passphrase(passphrase: bytes, words: str | None) -> None:
    message, datagram = hardened(passphrase, OURS[:1])
    assert not fits(message, datagram, [SECRET], OURS)
    found = difference(message, datagram, SECRET, OURS)
    assert (found is None) if words is None else words in (found or "")
    assert fits(message, datagram, [SECRET, passphrase], OURS), "one of several is enough"


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        (OURS[:2], "its addresses are 10.99.0.100, 10.99.0.101: fd99::100 is missing there"),
        ([*OURS, *ips("10.99.0.7")], "10.99.0.7 is more than here"),
        (ips("10.5.5.5"), "its only address is 10.5.5.5"),
        (ips("172.16.0.1", "172.16.0.2"), None),
    ],
)
def test_a_fingerprint_shows_which_addresses_a_member_has(theirs: list[IPAddress], words: str | None) -> None:
    message, datagram = hardened(SECRET, theirs)
    assert fits(message, datagram, [SECRET], OURS)
    found = address_difference(message, OURS, ips("10.5.5.5"), [ip_network("10.99.0.0/24")])
    assert (found is None) if words is None else words in (found or "")


def test_what_fits() -> None:
    message, datagram = signed(SECRET, OURS)
    assert fits(message, datagram, [SECRET], OURS)
    assert not fits(message, datagram, [b"x" * 20], OURS), "longer than CARP takes: no traceback"


def test_a_thousand_addresses_and_a_wide_network_take_no_long_search() -> None:
    many = [ip_address(struct.pack(">I", 0x0A000000 + number)) for number in range(1, 1025)]
    message, datagram = signed(b"something else", OURS)
    assert difference(message, datagram, SECRET, many, (), [ip_network("10.0.0.0/8")]) is None


def test_the_passphrase_is_in_no_answer() -> None:
    for theirs in (SECRET + b"\n", SECRET.upper(), SECRET[:8]):
        message, datagram = signed(theirs, OURS)
        assert SECRET.decode() not in (difference(message, datagram, SECRET, OURS) or "")
