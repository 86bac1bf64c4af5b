"""A million mutated packets: no exception, nothing changed, and no forgery that the digest could have caught.

`CARP_FUZZ_PACKETS` sets how many.
"""

import os
import random
from ipaddress import IPv4Address

import pytest

from carpsidecar.protocol.auth import Authenticator, CompatibleAuth, HardenedAuth
from carpsidecar.protocol.packet import (
    CARP_SIZE,
    VERSION_COMPATIBLE,
    VERSION_HARDENED,
    Advertisement,
    Drop,
    checksum,
    header,
    pack,
)
from carpsidecar.protocol.receiver import Receiver

PACKETS = int(os.environ.get("CARP_FUZZ_PACKETS", "1000000"))
BATCHES = 8
VHIDS = (1, 42, 255)
VIP = IPv4Address("192.0.2.100")
SOURCE = IPv4Address("192.0.2.11")
UNSIGNED = frozenset({2, 4, 5, 6, 7})
"""What the compatible digest does not cover: advskew, demotion, advbase and the checksum."""


def authenticators(version: int) -> dict[int, Authenticator]:
    if version == VERSION_HARDENED:
        return {vhid: HardenedAuth(b"sesame", vhid, [VIP]) for vhid in VHIDS}
    return {vhid: CompatibleAuth(b"sesame", vhid, [VIP], 0) for vhid in VHIDS}


def seeds(version: int) -> list[bytes]:
    """Good packets of every group."""
    packets = []
    for vhid, auth in authenticators(version).items():
        for advbase, advskew in ((1, 0), (0, 1), (3, 200), (255, 255)):
            head = header(version, vhid, advskew, advbase)
            counter = auth.next_counter(1)
            packets.append(pack(head, counter, auth.digest(head, SOURCE, counter)))
    return packets


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
@pytest.mark.parametrize("version", [VERSION_COMPATIBLE, VERSION_HARDENED])
def test_no_mutated_packet_does_any_harm(version: int, batch: int) -> None:
    rng = random.Random(f"{version} {batch}")
    packets = seeds(version)
    genuine = frozenset(packets)
    receiver = Receiver()
    groups = authenticators(version)
    for vhid, auth in groups.items():
        receiver.add(vhid, auth)
    dropped = 0

    for _ in range(PACKETS // BATCHES // 2):
        packet = mutated(rng, packets)
        heard = receiver.receive(packet, 255, SOURCE)
        if isinstance(heard, Drop):
            dropped += 1
        elif packet not in genuine:
            assert version == VERSION_COMPATIBLE, packet.hex()
            assert is_known_weakness(packet, packets), packet.hex()
            assert isinstance(heard, Advertisement)

    assert receiver.drops.total() == dropped
    # Only a good packet may have moved a counter: each group still takes its peer's next one.
    for vhid, auth in authenticators(version).items():
        head = header(version, vhid, 0, 1)
        counter = auth.next_counter(1_000)
        signed = pack(head, counter, auth.digest(head, SOURCE, counter))
        assert isinstance(receiver.receive(signed, 255, SOURCE), Advertisement)


@pytest.mark.parametrize("version", [VERSION_COMPATIBLE, VERSION_HARDENED])
def test_noise_of_any_length_is_dropped(version: int) -> None:
    rng = random.Random(version)
    receiver = Receiver()
    for vhid, auth in authenticators(version).items():
        receiver.add(vhid, auth)
    count = max(1, PACKETS // 100)

    for _ in range(count):
        noise = rng.randbytes(int(rng.random() * 80))
        assert isinstance(receiver.receive(noise, 255, SOURCE), Drop)

    assert receiver.drops.total() == count
