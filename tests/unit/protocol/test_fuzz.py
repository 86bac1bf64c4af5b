"""Mutated packets of the compatible mode: no exception, nothing changed, no forgery that the digest could catch.

`CARP_FUZZ_PACKETS` sets how many; the hardened mode is beside them, in `test_hardened`.
"""

import os
import random
from ipaddress import IPv4Address

import pytest

from carpsidecar.protocol.auth import Accepted, Claim, CompatibleAuth
from carpsidecar.protocol.hardened_packet import Role
from carpsidecar.protocol.packet import CARP_SIZE, Advertisement, Drop, checksum
from carpsidecar.protocol.receiver import Receiver

PACKETS = int(os.environ.get("CARP_FUZZ_PACKETS", "1000000"))
BATCHES = 8
VHIDS = (1, 42, 255)
VIP = IPv4Address("192.0.2.100")
SOURCE = IPv4Address("192.0.2.11")
UNSIGNED = frozenset({2, 4, 5, 6, 7})
"""What the compatible digest does not cover: advskew, demotion, advbase and the checksum."""


def authenticators() -> dict[int, CompatibleAuth]:
    return {vhid: CompatibleAuth(vhid, [Accepted(b"sesame", [VIP])], 0) for vhid in VHIDS}


def listening() -> Receiver:
    receiver = Receiver()
    for vhid, auth in authenticators().items():
        receiver.add(vhid, auth)
    return receiver


def seeds() -> list[bytes]:
    """Good packets of every group."""
    return [
        auth.advertisement(0.0, SOURCE, Claim(Role.MASTER, advbase, advskew, 0.0))
        for auth in authenticators().values()
        for advbase, advskew in ((1, 0), (0, 1), (3, 200), (255, 255))
    ]


def mutated(rng: random.Random, packets: list[bytes]) -> bytes:
    """A good packet with a few fields, bits or bytes other than they were, often with a right checksum."""
    packet = bytearray(rng.choice(packets))
    kind = int(rng.random() * 12)
    if kind < 5:
        for _ in range(1 + int(rng.random() * 3)):
            packet[int(rng.random() * CARP_SIZE)] = int(rng.random() * 256)
    elif kind < 8:
        position = int(rng.random() * 8)
        packet[position] = rng.choice((0, 1, 7, 8, 42, 127, 128, 254, 255, packet[position] ^ 1))
    elif kind == 8:
        packet[8:] = rng.choice(packets)[8:]
    elif kind == 9:
        packet[int(rng.random() * CARP_SIZE)] ^= 1 << int(rng.random() * 8)
    elif kind == 10:
        del packet[int(rng.random() * CARP_SIZE) :]
    else:
        packet += rng.randbytes(int(rng.random() * 64))
    if len(packet) == CARP_SIZE and rng.random() < 0.75:
        packet[6:8] = b"\0\0"
        packet[6:8] = checksum(bytes(packet)).to_bytes(2, "big")
    return bytes(packet)


def is_known_weakness(packet: bytes, packets: list[bytes]) -> bool:
    """Whether it differs from some good packet only in what the compatible digest does not cover."""
    signed = [i for i in range(CARP_SIZE) if i not in UNSIGNED]
    return any(all(packet[i] == good[i] for i in signed) for good in packets)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_no_mutated_packet_does_any_harm(batch: int) -> None:
    rng = random.Random(batch)
    packets = seeds()
    genuine = frozenset(packets)
    receiver = listening()
    dropped = 0

    for _ in range(PACKETS // BATCHES // 2):
        packet = mutated(rng, packets)
        heard = receiver.receive(0.0, packet, 255, SOURCE)
        if isinstance(heard, Drop):
            dropped += 1
        elif packet not in genuine:
            assert is_known_weakness(packet, packets), packet.hex()
            assert isinstance(heard, Advertisement)

    assert receiver.drops.total() == dropped
    for packet in packets:
        assert isinstance(receiver.receive(0.0, packet, 255, SOURCE), Advertisement)


def test_noise_of_any_length_is_dropped() -> None:
    rng = random.Random(1)
    receiver = listening()
    count = max(1, PACKETS // 100)

    for _ in range(count):
        noise = rng.randbytes(int(rng.random() * 600))
        if rng.random() < 0.5:
            noise = rng.choice((b"\x21\x2a", b"\x32\x02\x00\x2a")) + noise
        assert isinstance(receiver.receive(0.0, noise, 255, SOURCE), Drop)

    assert receiver.drops.total() == count
