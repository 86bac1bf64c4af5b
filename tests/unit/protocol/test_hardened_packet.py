"""The hardened packet, byte by byte as docs/protocol.md has it, and what may stand in an answer's details."""

import hashlib
import hmac
import random
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carpsidecar.protocol.auth import Claim
from carpsidecar.protocol.hardened import Hardened
from carpsidecar.protocol.hardened_packet import (
    DETAILS_MAX,
    SIZE_MAX,
    SIZE_MIN,
    Details,
    HardenedPacket,
    Kind,
    Role,
    pack,
    pack_details,
    unpack,
    unpack_details,
)
from carpsidecar.protocol.keys import KeyRing
from carpsidecar.protocol.packet import IPAddress, is_vrrp

SOURCE = IPv4Address("192.0.2.11")
VIPS: list[IPAddress] = [IPv4Address("192.0.2.100"), IPv6Address("fe80::100")]
EIGHT = st.binary(min_size=8, max_size=8)
PACKETS = st.builds(
    HardenedPacket,
    kind=st.sampled_from(Kind),
    role=st.sampled_from(Role),
    vhid=st.integers(1, 65535),
    advbase=st.integers(0, 255),
    advskew=st.integers(0, 255),
    key_id=st.binary(min_size=4, max_size=4),
    role_age_s=st.integers(0, 2**32 - 1),
    fingerprint=EIGHT,
    session=EIGHT,
    time_us=st.integers(0, 2**64 - 1),
    asked=EIGHT,
    answered=EIGHT,
    target=EIGHT,
    target_time_us=st.integers(0, 2**64 - 1),
    details=st.binary(max_size=DETAILS_MAX),
)


def hkdf_sha256(secret: bytes, info: bytes, size: int) -> bytes:
    """RFC 5869 as its text has it; nothing shared with ours."""
    key = hmac.digest(bytes(32), secret, "sha256")
    out = block = b""
    for number in range(1, -(-size // 32) + 1):
        block = hmac.digest(key, block + info + bytes((number,)), "sha256")
        out += block
    return out[:size]


def test_every_byte_of_an_advertisement_is_where_the_documentation_has_it() -> None:
    derived = hkdf_sha256(b"sesame", b"carpsidecar hardened mode, version 2", 36)
    mapped = bytes(10) + b"\xff\xff" + SOURCE.packed
    addresses = sorted([bytes(10) + b"\xff\xff" + VIPS[0].packed, VIPS[1].packed])
    group = Hardened(100.0, 4242, KeyRing([b"sesame"]), VIPS, lambda size: b"session!"[:size])

    payload = group.advertisement(102.5, SOURCE, Claim(Role.MASTER, 1, 100, since_s=101.0))

    expected = (
        b"\x32\x02"
        + (4242).to_bytes(2, "big")
        + b"\x01\x64"
        + b"\x00\x00"
        + derived[32:]
        + (1).to_bytes(4, "big")
        + hashlib.sha256(b"".join(addresses)).digest()[:8]
        + b"session!"
        + (2_500_000).to_bytes(8, "big")
        + bytes(32)
    )
    assert payload[:72] == expected
    assert payload[72:] == hmac.digest(derived[:32], mapped + expected, "sha256")[:20]
    assert len(payload) == SIZE_MIN == 92


@given(PACKETS)
def test_what_is_packed_is_unpacked(packet: HardenedPacket) -> None:
    payload = pack(packet) + bytes(20)

    assert unpack(payload) == packet
    assert SIZE_MIN <= len(payload) <= SIZE_MAX


@given(PACKETS, st.integers(-40, 40).filter(bool))
def test_another_length_than_it_says_is_refused(packet: HardenedPacket, difference: int) -> None:
    payload = pack(packet) + bytes(20)
    other = payload + bytes(difference) if difference > 0 else payload[:difference]

    assert unpack(other) is None


@given(PACKETS)
def test_it_is_never_taken_for_vrrp(packet: HardenedPacket) -> None:
    assert not is_vrrp(pack(packet) + bytes(20))


@pytest.mark.parametrize("count", [0, 1, 13, 300])
def test_details_hold_as_many_addresses_as_there_is_room_for(count: int) -> None:
    addresses: list[IPAddress] = [ip_address(f"2001:db8::{n + 1:x}") for n in range(count)]

    packed = pack_details("node-é", "1.2.3", addresses)
    details = unpack_details(packed)

    assert len(packed) <= DETAILS_MAX
    assert details is not None
    assert (details.name, details.version, details.address_count) == ("node-é", "1.2.3", min(count, 255))
    assert list(details.addresses) == addresses[: len(details.addresses)]
    assert len(details.addresses) == min(count, 22)


def test_both_families_fit_beside_each_other() -> None:
    assert unpack_details(pack_details("a", "b", VIPS)) == Details("a", "b", tuple(VIPS), 2)


def test_a_long_name_is_cut_and_control_characters_are_not_passed_on() -> None:
    details = unpack_details(pack_details("x" * 100 + "\n", "\x1b[31m", []))

    assert details is not None
    assert details.name == "x" * 63
    assert details.version == "?[31m"


def test_whatever_the_details_are_nothing_is_raised() -> None:
    rng = random.Random(1)
    good = pack_details("node", "1.0", VIPS)
    for _ in range(20_000):
        packed = bytearray(rng.choice((good, rng.randbytes(rng.randrange(60)))))
        for _ in range(rng.randrange(3)):
            if packed:
                packed[rng.randrange(len(packed))] = rng.randrange(256)
        details = unpack_details(bytes(packed[: rng.randrange(len(packed) + 1)]))
        assert details is None or len(details.addresses) <= 60
