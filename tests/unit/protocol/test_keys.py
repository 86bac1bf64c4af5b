"""Several passphrases: the first signs, all are accepted, and what is signed can't be changed."""

import random
from ipaddress import IPv4Address, IPv6Address

import pytest

from carpsidecar.protocol.keys import KeyRing, fingerprint
from carpsidecar.protocol.packet import IPAddress

SOURCE = IPv4Address("192.0.2.11")
V4, V6, LINK_LOCAL = IPv4Address("192.0.2.100"), IPv6Address("2001:db8::100"), IPv6Address("fe80::100")


def signed(ring: KeyRing, body: bytes = bytes(64)) -> bytes:
    packet = bytes(8) + ring.ids[0] + body[12:]
    return packet + ring.sign(packet, SOURCE)


@pytest.mark.parametrize(
    ("signer", "checker", "accepted"),
    [
        pytest.param([b"old"], [b"old"], True, id="the same"),
        pytest.param([b"old"], [b"new"], False, id="another"),
        pytest.param([b"old"], [b"old", b"new"], True, id="first step: the new one is accepted"),
        pytest.param([b"old", b"new"], [b"old"], True, id="first step, the other way"),
        pytest.param([b"new", b"old"], [b"old", b"new"], True, id="second step: the new one signs"),
        pytest.param([b"new"], [b"new", b"old"], True, id="the old one goes"),
        pytest.param([b"new"], [b"old"], False, id="a step was left out"),
        pytest.param([b"x" * 500], [b"x" * 500], True, id="a long one"),
        pytest.param([b"x" * 500], [b"x" * 499], False, id="a long one, cut"),
    ],
)
def test_who_accepts_whom(signer: list[bytes], checker: list[bytes], accepted: bool) -> None:
    payload, ring = signed(KeyRing(signer)), KeyRing(checker)

    assert ring.verify(payload, SOURCE) is accepted
    assert ring.knows(payload) is accepted


def test_no_bit_can_be_changed_nor_the_sender() -> None:
    ring = KeyRing([b"sesame", b"other"])
    payload = signed(ring, random.Random(1).randbytes(64))

    assert ring.verify(payload, SOURCE)
    assert not ring.verify(payload, IPv4Address("192.0.2.12"))
    for bit in range(len(payload) * 8):
        forged = bytearray(payload)
        forged[bit // 8] ^= 1 << bit % 8
        assert not ring.verify(bytes(forged), SOURCE)


def test_the_id_of_the_other_key_does_not_help() -> None:
    ring = KeyRing([b"sesame", b"other"])
    payload = bytearray(signed(ring))
    payload[8:12] = ring.ids[1]

    assert not ring.verify(bytes(payload), SOURCE)


@pytest.mark.parametrize("passphrases", [[], [b""], [b"good", b""]])
def test_an_empty_passphrase_is_refused(passphrases: list[bytes]) -> None:
    with pytest.raises(ValueError, match="empty"):
        KeyRing(passphrases)


def test_the_fingerprint_knows_no_order_but_every_address() -> None:
    assert fingerprint([V4, V6, LINK_LOCAL]) == fingerprint([LINK_LOCAL, V4, V6])
    groups: list[list[IPAddress]] = [[V4], [V6], [V4, V6], [V4, V6, LINK_LOCAL], []]
    assert len({fingerprint(group) for group in groups}) == 5


def test_an_address_that_stands_twice_counts_once() -> None:
    assert fingerprint([V4, V4]) == fingerprint([V4])
