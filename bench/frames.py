"""What an attacker on the segment sends: whole frames of each kind, as varied as an attacker would make them."""

import random
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from itertools import chain, islice, zip_longest

from bench.engine import PASSPHRASE, VHID, VIP
from carpsidecar.linux.frames import gratuitous_arp, ipv4_packet
from carpsidecar.protocol.hardened_packet import SIZE_MIN, Kind, Role
from carpsidecar.protocol.keys import KeyRing
from carpsidecar.protocol.packet import CARP_GROUP_IPV4, CARP_PROTOCOL, header, pack

_ALL_CARP_MAC = bytes.fromhex("01005e000012")
_GROUP = IPv4Address(CARP_GROUP_IPV4)
_KEY_ID = KeyRing([PASSPHRASE.encode()]).ids[0]
_COUNT = 2048
_FOREIGN_NETWORK = IPv4Address("10.99.0.0")


class Forge:
    """Frames from a machine with this MAC address; IP sources vary, as they cost an attacker nothing."""

    def __init__(self, mac: bytes, hardened: bool) -> None:
        self._mac = mac
        self._hardened = hardened
        self._rng = random.Random(1)

    def forged(self) -> list[bytes]:
        """Well-formed and for our group, each with another counter, digest and source."""
        return self._many(lambda: self._packet(self._advertisement(VHID)))

    def foreign_vhid(self) -> list[bytes]:
        others = [vhid for vhid in range(1, 256) if vhid != VHID]
        return self._many(lambda: self._packet(self._advertisement(self._rng.choice(others))))

    def vrrp(self) -> list[bytes]:
        """Version 2, one address (RFC 3768)."""
        body = bytes((0x21, VHID, 255, 1, 0, 1, 0xBA, 0x52)) + IPv4Address(VIP).packed + bytes(8)
        return self._many(lambda: self._packet(body))

    def truncated(self) -> list[bytes]:
        whole = self._advertisement(VHID)
        return self._many(lambda: self._packet(whole[: self._rng.randrange(len(whole))]))

    def garbage(self) -> list[bytes]:
        return self._many(lambda: self._packet(self._bytes(self._rng.randrange(1, 400))))

    def arp(self) -> list[bytes]:
        """Gratuitous ARP for our address, requests and replies."""
        return gratuitous_arp(self._mac, IPv4Address(VIP)) * (_COUNT // 2)

    def replayed(self, captured: Sequence[bytes]) -> list[bytes]:
        """As they were, but from the attacker's port: with its MAC the switch still knows where everybody is."""
        again = [_ALL_CARP_MAC + self._mac + frame[12:] for frame in captured]
        return (again * _COUNT)[:_COUNT]

    def renamed(self, captured: Sequence[bytes], source: IPv4Address) -> list[bytes]:
        """Captured advertisements under another sender's address, which CARP's digest does not cover."""
        return [self._packet(frame[34:], source) for frame in captured]

    def _advertisement(self, vhid: int) -> bytes:
        if not self._hardened:
            return pack(header(vhid, 0, 1), self._bytes(8), self._bytes(20))
        # The key id is no secret, and with the right one the digest has to be computed.
        start = bytes((Kind.ADVERTISEMENT, Role.MASTER, vhid >> 8, vhid & 255, 1, 0, 0, 0))
        return start + _KEY_ID + self._bytes(SIZE_MIN - len(start) - len(_KEY_ID))

    def _bytes(self, count: int) -> bytes:
        return self._rng.randbytes(count)

    def _many(self, make: Callable[[], bytes]) -> list[bytes]:
        return [make() for _ in range(_COUNT)]

    def _packet(self, payload: bytes, source: IPv4Address | None = None) -> bytes:
        source = source or _FOREIGN_NETWORK + self._rng.randrange(120, 250)
        return _ALL_CARP_MAC + self._mac + b"\x08\x00" + ipv4_packet(CARP_PROTOCOL, source, _GROUP, payload)


def mixed(kinds: Sequence[list[bytes]]) -> list[bytes]:
    """In turn, one of each."""
    in_turn = chain.from_iterable(zip_longest(*kinds))
    return list(islice((frame for frame in in_turn if frame is not None), 2 * _COUNT))
