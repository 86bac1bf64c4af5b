"""Packets of the real ucarp, recorded: we take them apart as they were put together, and their digests are ours."""

import struct
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple

import pytest

from carpsidecar.protocol.auth import Accepted, Claim, CompatibleAuth
from carpsidecar.protocol.hardened_packet import Role
from carpsidecar.protocol.packet import (
    CARP_AUTHLEN,
    CARP_TTL,
    VERSION_COMPATIBLE,
    Advertisement,
    Drop,
    unpack,
)
from carpsidecar.protocol.receiver import Receiver

FIXTURES = Path(__file__).parents[2] / "fixtures" / "ucarp"

# File, vhid, passphrase, virtual address, advbase, advskew: as its README tells.
RECORDINGS = [
    ("vhid-1", 1, b"x", "10.99.0.1", 1, 0),
    ("vhid-42", 42, b"secret", "10.99.0.100", 1, 254),
    ("vhid-255", 255, b"nineteen bytes long", "192.0.2.255", 0, 50),
]
recordings = pytest.mark.parametrize(
    ("file", "vhid", "passphrase", "vip", "advbase", "advskew"), RECORDINGS, ids=[row[0] for row in RECORDINGS]
)


class Packet(NamedTuple):
    source: IPv4Address
    destination: IPv4Address
    ttl: int
    payload: bytes


def packets(file: str) -> list[Packet]:
    """The IP packets of a pcap file."""
    data = (FIXTURES / f"{file}.pcap").read_bytes()
    assert data[:4] == bytes.fromhex("d4c3b2a1"), "little-endian, microseconds"
    found = []
    offset = 24
    while offset < len(data):
        length = struct.unpack_from("<I", data, offset + 8)[0]
        ip = data[offset + 16 + 14 : offset + 16 + length]
        body = ip[4 * (ip[0] & 0xF) : int.from_bytes(ip[2:4], "big")]
        found.append(Packet(IPv4Address(ip[12:16]), IPv4Address(ip[16:20]), ip[8], body))
        offset += 16 + length
    return found


def receiver(vhid: int, passphrase: bytes, vip: str) -> Receiver:
    made = Receiver()
    made.add(vhid, CompatibleAuth(vhid, [Accepted(passphrase, [IPv4Address(vip)])], 0))
    return made


def accepted(packet: Packet, by: Receiver) -> Advertisement:
    result = by.receive(0.0, packet.payload, packet.ttl, packet.source)
    assert isinstance(result, Advertisement), result
    return result


@recordings
def test_what_ucarp_sent_is_accepted_and_says_what_ucarp_was_told(
    file: str, vhid: int, passphrase: bytes, vip: str, advbase: int, advskew: int
) -> None:
    heard = packets(file)
    assert len(heard) == 3
    for packet in heard:
        assert packet.ttl == CARP_TTL
        assert packet.destination == IPv4Address("224.0.0.18")
        sent = accepted(packet, receiver(vhid, passphrase, vip))
        assert (sent.version, sent.vhid, sent.authlen) == (VERSION_COMPATIBLE, vhid, CARP_AUTHLEN)
        assert (sent.advbase, sent.advskew, sent.demotion) == (advbase, advskew, 0)


@recordings
def test_from_the_same_fields_and_counter_we_make_the_same_packet(
    file: str, vhid: int, passphrase: bytes, vip: str, advbase: int, advskew: int
) -> None:
    for packet in packets(file):
        counter = int.from_bytes(unpack(packet.payload).counter, "big")
        ours = CompatibleAuth(vhid, [Accepted(passphrase, [IPv4Address(vip)])], counter - 1)
        claim = Claim(Role.MASTER, advbase, advskew, 0.0)
        assert ours.advertisement(0.0, packet.source, claim) == packet.payload


@recordings
def test_with_another_passphrase_address_or_a_bit_changed_it_is_refused(
    file: str, vhid: int, passphrase: bytes, vip: str, advbase: int, advskew: int
) -> None:
    packet = packets(file)[0]
    one_more = str(IPv4Address(vip) + 1)
    for stranger in (receiver(vhid, passphrase[:-1] + b"?", vip), receiver(vhid, passphrase, one_more)):
        assert stranger.receive(0.0, packet.payload, packet.ttl, packet.source) is Drop.DIGEST
    damaged = bytes([*packet.payload[:35], packet.payload[35] ^ 1])
    assert receiver(vhid, passphrase, vip).receive(0.0, damaged, packet.ttl, packet.source) is Drop.CHECKSUM


def test_an_exchange_of_two_ucarps_is_understood_word_for_word() -> None:
    slower, preferred = IPv4Address("10.99.0.12"), IPv4Address("10.99.0.13")
    by = receiver(42, b"secret", "10.99.0.100")
    sent = [(packet.source, accepted(packet, by)) for packet in packets("exchange")]
    assert [(source, (each.advbase, each.advskew)) for source, each in sent] == [
        (slower, (1, 100)),
        (slower, (1, 100)),
        # It preempts; the slower one, which hears it late, has one more to say, and then its last word.
        (preferred, (1, 0)),
        (slower, (1, 100)),
        (slower, (1, 100)),
        (preferred, (1, 0)),
        # Stopped, it says nothing, and the slower one waits for it in vain.
        (slower, (1, 100)),
        (slower, (1, 100)),
        (slower, (1, 100)),
    ]
    # ucarp counts on from the counter that it heard last.
    counters = [int.from_bytes(each.counter, "big") for _, each in sent]
    assert counters[2] == counters[1] + 1
    assert counters[4] == counters[2] + 1
    assert counters[5] == counters[3] + 1
    assert not by.drops
