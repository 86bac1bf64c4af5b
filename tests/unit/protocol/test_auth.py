"""The compatible mode's digests against hashlib's own HMAC, and what else it accepts while a change rolls out."""

import hashlib
import hmac
from ipaddress import IPv4Address, ip_address

import pytest

from carpsidecar.protocol.auth import Accepted, Claim, CompatibleAuth
from carpsidecar.protocol.hardened_packet import Role
from carpsidecar.protocol.packet import Advertisement, Drop, IPAddress, unpack

VHID = 42
PASSPHRASE = b"sesame"
SOURCE = IPv4Address("192.0.2.11")
CLAIM = Claim(Role.MASTER, advbase=1, advskew=100, since_s=0.0)


def addresses(*texts: str) -> list[IPAddress]:
    return [ip_address(text) for text in texts]


def auth(*accepted: tuple[bytes, list[str]], first_counter: int = 0) -> CompatibleAuth:
    return CompatibleAuth(
        VHID, [Accepted(passphrase, addresses(*texts)) for passphrase, texts in accepted], first_counter
    )


def sent(by: CompatibleAuth, claim: Claim = CLAIM, source: IPAddress = SOURCE) -> bytes:
    return by.advertisement(0.0, source, claim)


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
def test_the_digest_is_that_of_the_standard_library(texts: list[str], covered: bytes) -> None:
    packet = unpack(sent(auth((PASSPHRASE, texts))))

    signed = b"\x02\x01" + bytes([VHID]) + covered + packet.counter
    assert packet.digest == hmac.digest(PASSPHRASE, signed, hashlib.sha1)


def test_the_digest_covers_neither_header_nor_source() -> None:
    one, other = (auth((PASSPHRASE, ["192.0.2.100"])) for _ in range(2))

    first = unpack(sent(one))
    second = unpack(sent(other, CLAIM._replace(advbase=2), IPv4Address("192.0.2.12")))
    assert first.digest == second.digest


@pytest.mark.parametrize("length", [0, 20])
def test_a_passphrase_has_1_to_19_bytes(length: int) -> None:
    auth((b"x" * 19, []))

    with pytest.raises(ValueError, match=f"{length} bytes"):
        auth((b"x" * length, []))
    with pytest.raises(ValueError, match=f"{length} bytes"):
        auth((PASSPHRASE, []), (b"x" * length, []))


def test_nothing_accepted_is_an_error() -> None:
    with pytest.raises(ValueError, match="no passphrase"):
        auth()


def test_the_counter_rises_by_one_and_starts_over_after_the_highest() -> None:
    one = auth((PASSPHRASE, []), first_counter=2**64 - 2)

    assert [unpack(sent(one)).counter for _ in range(3)] == [b"\xff" * 8, bytes(8), bytes(7) + b"\x01"]


def test_a_peer_may_send_one_counter_for_ever() -> None:
    one, packet = auth((PASSPHRASE, [])), sent(auth((PASSPHRASE, [])))

    assert isinstance(one.receive(0.0, packet, SOURCE), Advertisement)
    assert isinstance(one.receive(9.0, packet, SOURCE), Advertisement)


OLD, NEW, OTHER = (b"old", ["192.0.2.100"]), (b"new", ["192.0.2.100"]), (b"old", ["192.0.2.100", "192.0.2.101"])


@pytest.mark.parametrize(
    ("sender", "receiver", "accepted"),
    [
        pytest.param([NEW], [OLD], False, id="another passphrase"),
        pytest.param([NEW], [OLD, NEW], True, id="another passphrase that is accepted"),
        pytest.param([OLD, NEW], [NEW], False, id="the first signs, and only the first"),
        pytest.param([OTHER], [OLD], False, id="an address more"),
        pytest.param([OTHER], [OLD, OTHER], True, id="an address more, which is accepted"),
        pytest.param([OTHER], [OLD, NEW, (b"new", OTHER[1])], False, id="the addresses, with another passphrase"),
    ],
)
def test_who_accepts_whom(
    sender: list[tuple[bytes, list[str]]], receiver: list[tuple[bytes, list[str]]], accepted: bool
) -> None:
    heard = auth(*receiver).receive(0.0, sent(auth(*sender)), SOURCE)

    assert isinstance(heard, Advertisement) if accepted else heard is Drop.DIGEST


def test_a_change_while_it_runs_goes_on_with_the_counter() -> None:
    one = auth(OLD, first_counter=7)
    sent(one)

    one.configure([Accepted(NEW[0], addresses(*NEW[1]))])

    packet = sent(one)
    assert unpack(packet).counter == bytes(7) + b"\x09"
    assert isinstance(auth(NEW).receive(0.0, packet, SOURCE), Advertisement)


def of_vhid(vhid: int, passphrase: bytes, *texts: str) -> bytes:
    return sent(CompatibleAuth(vhid, [Accepted(passphrase, addresses(*texts))], 7))


def test_a_packet_of_another_vhid_is_known_by_passphrase_and_addresses() -> None:
    ours = auth((PASSPHRASE, ["192.0.2.100"]), (b"former", ["192.0.2.101"]))
    assert ours.differs_in_vhid_only(of_vhid(43, PASSPHRASE, "192.0.2.100"), SOURCE)
    assert ours.differs_in_vhid_only(of_vhid(43, b"former", "192.0.2.101"), SOURCE)
    assert not ours.differs_in_vhid_only(of_vhid(43, PASSPHRASE, "192.0.2.101"), SOURCE)
    assert not ours.differs_in_vhid_only(of_vhid(43, b"of another pond", "192.0.2.100"), SOURCE)
    damaged = bytearray(of_vhid(43, PASSPHRASE, "192.0.2.100"))
    damaged[2] = 9
    assert not ours.differs_in_vhid_only(bytes(damaged), SOURCE)
    damaged[0] = 0x31
    assert not ours.differs_in_vhid_only(bytes(damaged), SOURCE)
