"""Digests against hashlib's own HMAC, and hardened mode's guard against changed and repeated packets."""

import hashlib
import hmac
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from carpsidecar.protocol.auth import CompatibleAuth, HardenedAuth, address_bytes
from carpsidecar.protocol.packet import VERSION_HARDENED, IPAddress, header, pack
from carpsidecar.protocol.receiver import Receiver

VHID = 42
PASSPHRASE = b"sesame"
SOURCE = IPv4Address("192.0.2.11")
COUNTER = bytes.fromhex("0102030405060708")
HEADER = header(VERSION_HARDENED, VHID, 100, 1)


def addresses(*texts: str) -> list[IPAddress]:
    return [ip_address(text) for text in texts]


def compatible_digest(covered: bytes) -> bytes:
    """What ucarp and the BSDs compute, by the standard library."""
    return hmac.new(PASSPHRASE, b"\x02\x01" + bytes([VHID]) + covered + COUNTER, hashlib.sha1).digest()


ONE_V4 = bytes([192, 0, 2, 100])
ONE_V6 = bytes.fromhex("20010db8000000000000000000000100")

VECTORS = [
    pytest.param(["192.0.2.100"], ONE_V4, id="one IPv4"),
    pytest.param(["2001:db8::100"], ONE_V6, id="one IPv6"),
    pytest.param(["192.0.2.101", "192.0.2.100"], ONE_V4 + bytes([192, 0, 2, 101]), id="two IPv4, ascending"),
    pytest.param(["192.0.2.100", "10.0.0.9"], bytes([10, 0, 0, 9]) + ONE_V4, id="ascending as numbers"),
    pytest.param(["2001:db8::100", "192.0.2.100"], ONE_V4 + ONE_V6, id="IPv4 before IPv6"),
    pytest.param(["fe80::1", "192.0.2.100"], ONE_V4, id="link-local left out"),
    pytest.param(
        ["2001:db8::200", "fe80::1", "2001:db8::100"],
        ONE_V6 + bytes.fromhex("20010db8000000000000000000000200"),
        id="three IPv6, one of them link-local",
    ),
    pytest.param(
        [f"192.0.2.{last}" for last in range(113, 100, -1)],
        b"".join(bytes([192, 0, 2, last]) for last in range(101, 114)),
        id="thirteen, given the wrong way round",
    ),
]


@pytest.mark.parametrize(("texts", "covered"), VECTORS)
def test_the_compatible_digest_is_that_of_the_standard_library(texts: list[str], covered: bytes) -> None:
    auth = CompatibleAuth(PASSPHRASE, VHID, addresses(*texts), first_counter=0)

    assert auth.digest(HEADER, SOURCE, COUNTER) == compatible_digest(covered)


@pytest.mark.parametrize(("texts", "covered"), VECTORS)
def test_the_hardened_digest_is_that_of_the_standard_library(texts: list[str], covered: bytes) -> None:
    auth = HardenedAuth(PASSPHRASE, VHID, addresses(*texts))
    v4, v6 = address_bytes(addresses(*texts))
    assert v4 + v6 == covered

    signed = len(v4).to_bytes(4, "big") + v4 + len(v6).to_bytes(4, "big") + v6 + bytes([VHID])
    signed += HEADER + SOURCE.packed + COUNTER
    assert auth.digest(HEADER, SOURCE, COUNTER) == hmac.new(PASSPHRASE, signed, hashlib.sha256).digest()[:20]


def test_the_compatible_digest_covers_neither_header_nor_source() -> None:
    auth = CompatibleAuth(PASSPHRASE, VHID, addresses("192.0.2.100"), 0)

    other = auth.digest(bytes(6), IPv4Address("192.0.2.12"), COUNTER)

    assert other == auth.digest(HEADER, SOURCE, COUNTER)


def test_a_compatible_passphrase_has_19_bytes_at_most() -> None:
    CompatibleAuth(b"x" * 19, VHID, (), 0)

    with pytest.raises(ValueError, match="20 bytes"):
        CompatibleAuth(b"x" * 20, VHID, (), 0)


def test_a_hardened_passphrase_may_have_any_length() -> None:
    HardenedAuth(b"x" * 4096, VHID, ())


def test_an_empty_passphrase_is_refused() -> None:
    with pytest.raises(ValueError, match="0 bytes"):
        CompatibleAuth(b"", VHID, (), 0)
    with pytest.raises(ValueError, match="empty"):
        HardenedAuth(b"", VHID, ())


def test_the_compatible_counter_rises_by_one_and_starts_over_after_the_highest() -> None:
    auth = CompatibleAuth(PASSPHRASE, VHID, (), first_counter=2**64 - 2)

    assert [auth.next_counter(0) for _ in range(3)] == [b"\xff" * 8, bytes(8), bytes(7) + b"\x01"]


def test_a_compatible_peer_may_send_one_counter_for_ever() -> None:
    auth = CompatibleAuth(PASSPHRASE, VHID, (), 0)

    assert not auth.is_replay(SOURCE, COUNTER)
    assert not auth.is_replay(SOURCE, COUNTER)


# Hardened mode.


def hardened(texts: str = "192.0.2.100") -> HardenedAuth:
    return HardenedAuth(PASSPHRASE, VHID, addresses(texts))


def number(counter: bytes) -> int:
    return int.from_bytes(counter, "big")


def listener() -> Receiver:
    receiver = Receiver()
    receiver.add(VHID, hardened())
    return receiver


def signed(counter_us: int = 1_000_000) -> bytes:
    auth = hardened()
    counter = auth.next_counter(counter_us)
    return pack(HEADER, counter, auth.digest(HEADER, SOURCE, counter))


def test_the_hardened_counter_is_the_wall_clock_in_microseconds() -> None:
    assert number(hardened().next_counter(1_750_000_000_000_000)) == 1_750_000_000_000_000


def test_a_clock_set_back_at_the_sender_does_not_lower_its_counter() -> None:
    auth = hardened()
    before = number(auth.next_counter(1_000_000))

    assert number(auth.next_counter(400_000)) == before + 1
    assert number(auth.next_counter(1_000_000)) == before + 2
    assert number(auth.next_counter(5_000_000)) == 5_000_000


def test_a_sender_restarted_with_its_clock_set_back_is_believed_once_it_has_heard_a_peer() -> None:
    peer, former = hardened(), hardened()
    peer.is_replay(SOURCE, former.next_counter(9_000_000))
    restarted = hardened()
    assert peer.is_replay(SOURCE, restarted.next_counter(1_000_000))

    restarted.is_replay(IPv4Address("192.0.2.12"), peer.next_counter(8_000_000))

    assert not peer.is_replay(SOURCE, restarted.next_counter(1_000_001))


def test_the_highest_counter_of_all_is_no_error() -> None:
    auth = hardened()
    auth.is_replay(SOURCE, b"\xff" * 8)

    assert auth.next_counter(1) == b"\xff" * 8


def test_the_first_packet_from_a_source_is_taken_and_then_only_higher_counters() -> None:
    auth = hardened()

    assert not auth.is_replay(SOURCE, (500).to_bytes(8, "big"))
    assert auth.is_replay(SOURCE, (500).to_bytes(8, "big"))
    assert auth.is_replay(SOURCE, (499).to_bytes(8, "big"))
    assert not auth.is_replay(SOURCE, (501).to_bytes(8, "big"))


def test_each_source_has_a_counter_of_its_own() -> None:
    auth = hardened()
    auth.is_replay(SOURCE, (500).to_bytes(8, "big"))

    assert not auth.is_replay(IPv4Address("192.0.2.12"), (3).to_bytes(8, "big"))
    assert not auth.is_replay(IPv6Address("fe80::1"), (3).to_bytes(8, "big"))


def test_a_recorded_packet_is_not_taken_twice() -> None:
    receiver, packet = listener(), signed()

    assert not isinstance(receiver.receive(packet, 255, SOURCE), str)
    assert receiver.receive(packet, 255, SOURCE) == "replay"


def test_a_recorded_packet_is_not_taken_under_another_name() -> None:
    assert listener().receive(signed(), 255, IPv4Address("192.0.2.12")) == "digest"


@pytest.mark.parametrize("position", range(36))
def test_no_single_bit_of_a_hardened_packet_may_change(position: int) -> None:
    for bit in range(8):
        packet = bytearray(signed())
        packet[position] ^= 1 << bit
        head, rest = bytes(packet[:6]), bytes(packet[8:])
        with_checksum = pack(head, rest[:8], rest[8:]) if position not in (6, 7) else bytes(packet)

        assert isinstance(listener().receive(with_checksum, 255, SOURCE), str)


def test_a_group_with_an_address_more_does_not_agree() -> None:
    receiver = Receiver()
    receiver.add(VHID, HardenedAuth(PASSPHRASE, VHID, addresses("192.0.2.100", "192.0.2.101")))

    assert receiver.receive(signed(), 255, SOURCE) == "digest"


def test_a_flood_of_sources_is_remembered_only_up_to_a_bound() -> None:
    auth = hardened()
    for last in range(100_000):
        auth.is_replay(IPv4Address(0x0A000000 + last), COUNTER)

    assert len(auth._heard) == 256
