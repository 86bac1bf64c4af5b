"""Each check by itself, their order, and that a packet which fails changes nothing but its counter."""

import random
from ipaddress import IPv4Address

import pytest

from carpsidecar.protocol.auth import Accepted, Authenticator, Claim, CompatibleAuth
from carpsidecar.protocol.hardened import Hardened
from carpsidecar.protocol.hardened_packet import HardenedPacket, Role
from carpsidecar.protocol.keys import KeyRing
from carpsidecar.protocol.packet import VERSION_COMPATIBLE, Advertisement, Drop, checksum, pack
from carpsidecar.protocol.receiver import Receiver, vhid_of

VHID = 42
SOURCE, OURS = IPv4Address("192.0.2.11"), IPv4Address("192.0.2.12")
VIP = IPv4Address("192.0.2.100")
CLAIM = Claim(Role.MASTER, 1, 100, 0.0)


def compatible(vhid: int = VHID) -> CompatibleAuth:
    return CompatibleAuth(vhid, [Accepted(b"sesame", [VIP])], first_counter=0)


def hardened(vhid: int = VHID, seed: int = 1) -> Hardened:
    return Hardened(0.0, vhid, KeyRing([b"sesame"]), [VIP], random.Random(seed).randbytes)


def good(auth: Authenticator | None = None) -> bytes:
    return (auth or compatible()).advertisement(0.0, SOURCE, CLAIM)


def changed(position: int, value: int) -> bytes:
    """A good packet with one other byte, and its checksum put right again."""
    packet = bytearray(good())
    packet[position] = value
    packet[6:8] = b"\0\0"
    packet[6:8] = checksum(bytes(packet)).to_bytes(2, "big")
    return bytes(packet)


def hear(receiver: Receiver, payload: bytes, ttl: int = 255) -> object:
    return receiver.receive(0.0, payload, ttl, SOURCE)


@pytest.fixture
def receiver() -> Receiver:
    receiver = Receiver()
    receiver.add(VHID, compatible())
    return receiver


VRRP_2 = bytes([0x21, VHID, 100, 1, 0, 1, 0, 0]) + bytes(12)
BAD_CHECKSUM = good()[:6] + b"\xab\xcd" + good()[8:]

DROPS = [
    pytest.param(good()[:35], 255, Drop.LENGTH, id="a byte short"),
    pytest.param(good() + b"\0", 255, Drop.LENGTH, id="a byte long"),
    pytest.param(b"", 255, Drop.LENGTH, id="empty"),
    pytest.param(VRRP_2, 255, Drop.VRRP, id="VRRP 2"),
    pytest.param(good(), 254, Drop.TTL, id="through a router"),
    pytest.param(changed(0, 0x22), 255, Drop.VERSION, id="another type"),
    pytest.param(good(hardened()), 255, Drop.VERSION, id="hardened, to a compatible group"),
    pytest.param(changed(3, 8), 255, Drop.AUTHLEN, id="another authlen"),
    pytest.param(changed(1, 43), 255, Drop.VHID, id="an unknown vhid"),
    pytest.param(BAD_CHECKSUM, 255, Drop.CHECKSUM, id="a wrong checksum"),
    pytest.param(changed(16, 0), 255, Drop.DIGEST, id="a wrong digest"),
    pytest.param(changed(8, 1), 255, Drop.DIGEST, id="another counter"),
]


@pytest.mark.parametrize(("payload", "ttl", "drop"), DROPS)
def test_a_packet_that_fails_is_counted_once_and_nothing_else(
    receiver: Receiver, payload: bytes, ttl: int, drop: Drop
) -> None:
    assert hear(receiver, payload, ttl) is drop
    assert dict(receiver.drops) == {drop: 1}
    assert isinstance(hear(receiver, good()), Advertisement)
    assert dict(receiver.drops) == {drop: 1}


def test_a_good_packet_is_believed_and_not_counted(receiver: Receiver) -> None:
    heard = hear(receiver, good())

    assert isinstance(heard, Advertisement)
    assert (heard.version, heard.vhid, heard.advskew, heard.advbase) == (VERSION_COMPATIBLE, VHID, 100, 1)
    assert not receiver.drops


@pytest.fixture
def met() -> tuple[Receiver, Hardened]:
    """A receiver of the hardened mode, and a sender whose session it knows."""
    receiver, ours, sender = Receiver(), hardened(), hardened(seed=2)
    receiver.add(VHID, ours)
    ours.start(0.0)
    (question,) = ours.take_replies()
    sender.receive(0.0, ours.reply(0.0, OURS, CLAIM, question), OURS)
    (answer,) = sender.take_replies()
    assert isinstance(hear(receiver, sender.reply(0.0, SOURCE, CLAIM, answer)), HardenedPacket)
    return receiver, sender


def test_the_checks_of_the_hardened_mode_come_in_the_order_in_which_they_are_named(
    met: tuple[Receiver, Hardened],
) -> None:
    """Put right one thing after another in a packet in which everything is wrong."""
    receiver, sender = met
    right = good(sender)
    wrong_digest = right[:-1] + bytes((right[-1] ^ 1,))
    wrong_key = wrong_digest[:8] + bytes(4) + wrong_digest[12:]
    wrong_vhid = wrong_key[:2] + b"\x01\x00" + wrong_key[4:]
    strange = good(hardened(seed=3))

    steps = [
        (wrong_vhid[:-1], 64),
        (wrong_vhid + bytes(401), 64),
        (wrong_vhid, 64),
        (wrong_vhid, 255),
        (wrong_key, 255),
        (wrong_digest, 255),
        (strange, 255),
        (right, 255),
        (right, 255),
    ]
    heard = [hear(receiver, payload, ttl) for payload, ttl in steps]

    assert heard[:-2] == [Drop.LENGTH, Drop.LENGTH, Drop.TTL, Drop.VHID, Drop.DIGEST, Drop.DIGEST, Drop.SESSION]
    assert isinstance(heard[-2], HardenedPacket)
    assert heard[-1] is Drop.REPLAY


def test_the_checks_of_the_compatible_mode_come_in_the_order_in_which_they_are_named(receiver: Receiver) -> None:
    right = good()
    wrong_digest = pack(right[:6], right[8:16], bytes(20))
    wrong_checksum = wrong_digest[:6] + b"\0\0" + wrong_digest[8:]
    wrong_vhid = wrong_checksum[:1] + b"\x01" + wrong_checksum[2:]
    wrong_authlen = wrong_vhid[:3] + b"\x08" + wrong_vhid[4:]
    wrong_version = b"\x45" + wrong_authlen[1:]

    steps = [
        (wrong_version + b"\0", 64),
        (wrong_version, 64),
        (wrong_version, 255),
        (wrong_authlen, 255),
        (wrong_vhid, 255),
        (wrong_checksum, 255),
        (wrong_digest, 255),
    ]

    assert [hear(receiver, payload, ttl) for payload, ttl in steps] == [
        Drop.LENGTH,
        Drop.TTL,
        Drop.VERSION,
        Drop.AUTHLEN,
        Drop.VHID,
        Drop.CHECKSUM,
        Drop.DIGEST,
    ]


def test_the_two_modes_never_take_each_other_for_their_own() -> None:
    receiver = Receiver()
    receiver.add(VHID, hardened())

    assert hear(receiver, good()) is Drop.VERSION


def test_the_hardened_mode_has_65535_vhids() -> None:
    receiver = Receiver()
    for vhid in (1, 256, 258, 65535):
        receiver.add(vhid, hardened(vhid))

    assert [hear(receiver, good(hardened(vhid, seed=9))) for vhid in (258, 65535, 2)] == [
        Drop.SESSION,
        Drop.SESSION,
        Drop.VHID,
    ]


@pytest.mark.parametrize(
    ("payload", "vhid"), [(good(), VHID), (good(hardened(4242)), 4242), (b"", 0), (b"\x21\x01", 0)]
)
def test_which_vhid_a_payload_names(payload: bytes, vhid: int) -> None:
    assert vhid_of(payload) == vhid


def test_one_interface_hears_many_groups() -> None:
    receiver = Receiver()
    for vhid in range(1, 256):
        receiver.add(vhid, compatible(vhid))

    assert isinstance(hear(receiver, good()), Advertisement)


def test_a_vhid_is_taken_once(receiver: Receiver) -> None:
    with pytest.raises(ValueError, match="vhid 42"):
        receiver.add(VHID, compatible())


def test_a_group_that_is_gone_is_not_heard(receiver: Receiver) -> None:
    receiver.remove(VHID)

    assert hear(receiver, good()) is Drop.VHID
