"""What differs between a peer and us, reported from its digest alone."""

import struct
from ipaddress import ip_address, ip_network

import pytest

from carpsidecar.capture.datagram import Datagram
from carpsidecar.doctor.digests import difference, fits
from carpsidecar.protocol.auth import CompatibleAuth, HardenedAuth
from carpsidecar.protocol.packet import IPAddress, header, pack, unpack

SECRET = b"carp in the lab"
SOURCE = ip_address("10.99.0.11")


def ips(*texts: str) -> list[IPAddress]:
    return [ip_address(text) for text in texts]


def signed(passphrase: bytes, addresses: list[IPAddress], *, hardened: bool = False) -> tuple[bytes, Datagram]:
    made = HardenedAuth(passphrase, 42, addresses) if hardened else CompatibleAuth(passphrase, 42, addresses, 7)
    head = header(made.version, 42, 100, 1)
    counter = made.next_counter(1_000)
    payload = pack(head, counter, made.digest(head, SOURCE, counter))
    return payload, Datagram(SOURCE, ip_address("224.0.0.18"), 255, payload, 36, False, b"", b"", (), False)


OURS = ips("10.99.0.100", "10.99.0.101", "fd99::100")


@pytest.mark.parametrize("hardened", [False, True], ids=["carp", "hardened"])
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
def test_what_differs(passphrase: bytes, theirs: list[IPAddress], words: str | None, hardened: bool) -> None:
    payload, datagram = signed(passphrase, theirs, hardened=hardened)
    message = unpack(payload)
    assert not fits(message, datagram, SECRET, OURS)
    found = difference(message, datagram, SECRET, OURS, ips("10.5.5.5"), [ip_network("10.99.0.0/24")])
    assert (found is None) if words is None else words in (found or "")


def test_what_fits() -> None:
    payload, datagram = signed(SECRET, OURS)
    assert fits(unpack(payload), datagram, SECRET, OURS)
    assert not fits(unpack(payload), datagram, b"x" * 20, OURS), "longer than CARP takes: no traceback"


def test_a_thousand_addresses_and_a_wide_network_take_no_long_search() -> None:
    many = [ip_address(struct.pack(">I", 0x0A000000 + number)) for number in range(1, 1025)]
    payload, datagram = signed(b"something else", OURS)
    assert difference(unpack(payload), datagram, SECRET, many, (), [ip_network("10.0.0.0/8")]) is None


def test_the_passphrase_is_in_no_answer() -> None:
    for theirs in (SECRET + b"\n", SECRET.upper(), SECRET[:8]):
        payload, datagram = signed(theirs, OURS)
        assert SECRET.decode() not in (difference(unpack(payload), datagram, SECRET, OURS) or "")
