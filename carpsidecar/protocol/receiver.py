"""The checks on what was heard, cheapest first, each with its own counter.

A packet that fails changes nothing but its counter.
"""

from collections import Counter

from carpsidecar.protocol.auth import Authenticator, CompatibleAuth
from carpsidecar.protocol.hardened_packet import KINDS, SIZE_MAX, SIZE_MIN, HardenedPacket
from carpsidecar.protocol.packet import (
    CARP_AUTHLEN,
    CARP_SIZE,
    CARP_TTL,
    VERSION_COMPATIBLE,
    Advertisement,
    Drop,
    IPAddress,
    is_vrrp,
)


class Receiver:
    """What arrives on one interface: which group it is for, and whether it may be believed."""

    def __init__(self) -> None:
        self._groups: dict[int, Authenticator] = {}
        self.drops: Counter[Drop] = Counter()

    def add(self, vhid: int, authenticator: Authenticator) -> None:
        """Listen for a group.

        Raises:
            ValueError: this vhid has one already.
        """
        if vhid in self._groups:
            raise ValueError(f"vhid {vhid} has a group on this interface already")
        self._groups[vhid] = authenticator

    def remove(self, vhid: int) -> None:
        del self._groups[vhid]

    def receive(
        self, now: float, payload: bytes, ttl: int, source: IPAddress
    ) -> Advertisement | HardenedPacket | Drop:
        """Check a payload of IP protocol 112 that came from `source` with this TTL or hop limit."""
        if payload and payload[0] in KINDS:
            result = self._check_hardened(now, payload, ttl, source)
        else:
            result = self._check_compatible(now, payload, ttl, source)
        if isinstance(result, Drop):
            self.drops[result] += 1
        return result

    def _check_compatible(
        self, now: float, payload: bytes, ttl: int, source: IPAddress
    ) -> Advertisement | HardenedPacket | Drop:
        if len(payload) != CARP_SIZE or payload[3] != CARP_AUTHLEN:
            if is_vrrp(payload):
                return Drop.VRRP
            if len(payload) != CARP_SIZE:
                return Drop.LENGTH
        if ttl != CARP_TTL:
            return Drop.TTL
        if payload[0] != VERSION_COMPATIBLE:
            return Drop.VERSION
        if payload[3] != CARP_AUTHLEN:
            return Drop.AUTHLEN
        authenticator = self._groups.get(payload[1])
        if authenticator is None:
            return Drop.VHID
        if not isinstance(authenticator, CompatibleAuth):
            return Drop.VERSION
        return authenticator.receive(now, payload, source)

    def _check_hardened(
        self, now: float, payload: bytes, ttl: int, source: IPAddress
    ) -> Advertisement | HardenedPacket | Drop:
        if not SIZE_MIN <= len(payload) <= SIZE_MAX:
            return Drop.LENGTH
        if ttl != CARP_TTL:
            return Drop.TTL
        authenticator = self._groups.get(payload[2] << 8 | payload[3])
        if authenticator is None:
            return Drop.VHID
        if isinstance(authenticator, CompatibleAuth):
            return Drop.VERSION
        return authenticator.receive(now, payload, source)


def vhid_of(payload: bytes) -> int:
    """Of a payload that may be anything; 0 where it has none."""
    if len(payload) < 4:
        return 0
    return payload[2] << 8 | payload[3] if payload[0] in KINDS else payload[1]
