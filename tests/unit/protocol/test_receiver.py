"""Each check by itself, their order, and that a packet which fails changes nothing but its counter."""

from ipaddress import IPv4Address

import pytest

from carpsidecar.protocol.auth import CompatibleAuth, HardenedAuth
from carpsidecar.protocol.packet import (
    VERSION_COMPATIBLE,
    VERSION_HARDENED,
    Advertisement,
    Drop,
    checksum,
    header,
    pack,
)
from carpsidecar.protocol.receiver import Receiver

VHID = 42
SOURCE = IPv4Address("192.0.2.11")
VIP = IPv4Address("192.0.2.100")


def compatible() -> CompatibleAuth:
    return CompatibleAuth(b"sesame", VHID, [VIP], first_counter=0)


def hardened() -> HardenedAuth:
    return HardenedAuth(b"sesame", VHID, [VIP])


def good(auth: CompatibleAuth | HardenedAuth | None = None, wall_clock_us: int = 1) -> bytes:
    auth = auth or compatible()
    head = header(auth.version, VHID, 100, 1)
    counter = auth.next_counter(wall_clock_us)
    return pack(head, counter, auth.digest(head, SOURCE, counter))


def changed(position: int, value: int) -> bytes:
    """A good packet with one other byte, and its checksum put right again."""
    packet = bytearray(good())
    packet[position] = value
    packet[6:8] = b"\0\0"
    packet[6:8] = checksum(bytes(packet)).to_bytes(2, "big")
    return bytes(packet)


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
    assert receiver.receive(payload, ttl, SOURCE) is drop
    assert dict(receiver.drops) == {drop: 1}
    assert isinstance(receiver.receive(good(), 255, SOURCE), Advertisement)
    assert dict(receiver.drops) == {drop: 1}


def test_a_good_packet_is_believed_and_not_counted(receiver: Receiver) -> None:
    heard = receiver.receive(good(), 255, SOURCE)

    assert isinstance(heard, Advertisement)
    assert (heard.version, heard.vhid, heard.advskew, heard.advbase) == (VERSION_COMPATIBLE, VHID, 100, 1)
    assert not receiver.drops


def test_a_replay_is_dropped_last_and_the_next_one_is_taken() -> None:
    receiver, sender = Receiver(), hardened()
    receiver.add(VHID, hardened())
    packet = good(sender, 1)

    assert isinstance(receiver.receive(packet, 255, SOURCE), Advertisement)
    assert receiver.receive(packet, 255, SOURCE) is Drop.REPLAY
    assert isinstance(receiver.receive(good(sender, 2), 255, SOURCE), Advertisement)
    assert dict(receiver.drops) == {Drop.REPLAY: 1}


def test_a_forged_packet_does_not_use_up_the_counter_of_a_real_one() -> None:
    receiver, packet = Receiver(), bytearray(good(hardened(), 5))
    receiver.add(VHID, hardened())
    forged = pack(bytes(packet[:6]), bytes(packet[8:16]), bytes(20))

    assert receiver.receive(forged, 255, SOURCE) is Drop.DIGEST
    assert isinstance(receiver.receive(bytes(packet), 255, SOURCE), Advertisement)


def test_the_checks_come_in_the_order_in_which_they_are_named() -> None:
    """Put right one thing after another in a packet in which everything is wrong."""
    receiver, sender = Receiver(), hardened()
    receiver.add(VHID, hardened())
    right = good(sender, 1)
    receiver.receive(right, 255, SOURCE)
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
        (right, 255),
    ]

    assert [receiver.receive(payload, ttl, SOURCE) for payload, ttl in steps] == [
        Drop.LENGTH,
        Drop.TTL,
        Drop.VERSION,
        Drop.AUTHLEN,
        Drop.VHID,
        Drop.CHECKSUM,
        Drop.DIGEST,
        Drop.REPLAY,
    ]


def test_the_two_modes_never_take_each_other_for_their_own() -> None:
    receiver = Receiver()
    receiver.add(VHID, hardened())

    assert receiver.receive(good(), 255, SOURCE) is Drop.VERSION
    assert VERSION_COMPATIBLE >> 4 == 2
    assert VERSION_HARDENED >> 4 == 3


def test_one_interface_hears_many_groups() -> None:
    receiver = Receiver()
    for vhid in range(1, 256):
        receiver.add(vhid, CompatibleAuth(b"sesame", vhid, [VIP], 0))

    assert isinstance(receiver.receive(good(), 255, SOURCE), Advertisement)


def test_a_vhid_is_taken_once(receiver: Receiver) -> None:
    with pytest.raises(ValueError, match="vhid 42"):
        receiver.add(VHID, compatible())


def test_a_group_that_is_gone_is_not_heard(receiver: Receiver) -> None:
    receiver.remove(VHID)

    assert receiver.receive(good(), 255, SOURCE) is Drop.VHID
