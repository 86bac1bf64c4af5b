"""The checks on what was heard, cheapest first, each with its own counter.

A packet that fails changes nothing but its counter.
"""

from collections import Counter

from carpsidecar.protocol.auth import Authenticator, digests_equal
from carpsidecar.protocol.packet import (
    CARP_AUTHLEN,
    CARP_SIZE,
    CARP_TTL,
    HEADER_SIZE,
    VERSION_COMPATIBLE,
    VERSION_HARDENED,
    Advertisement,
    Drop,
    IPAddress,
    checksum,
    is_vrrp,
    unpack,
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

    def receive(self, payload: bytes, ttl: int, source: IPAddress) -> Advertisement | Drop:
        """Check a payload of IP protocol 112 that came from `source` with this TTL or hop limit."""
        result = self._check(payload, ttl, source)
        if isinstance(result, Drop):
            self.drops[result] += 1
        return result

    def _check(self, payload: bytes, ttl: int, source: IPAddress) -> Advertisement | Drop:
        if len(payload) != CARP_SIZE or payload[3] != CARP_AUTHLEN:
            if is_vrrp(payload):
                return Drop.VRRP
            if len(payload) != CARP_SIZE:
                return Drop.LENGTH
        if ttl != CARP_TTL:
            return Drop.TTL
        if payload[0] not in (VERSION_COMPATIBLE, VERSION_HARDENED):
            return Drop.VERSION
        if payload[3] != CARP_AUTHLEN:
            return Drop.AUTHLEN
        authenticator = self._groups.get(payload[1])
        if authenticator is None:
            return Drop.VHID
        if payload[0] != authenticator.version:
            return Drop.VERSION
        if checksum(payload) != 0:
            return Drop.CHECKSUM
        advertisement = unpack(payload)
        expected = authenticator.digest(payload[:HEADER_SIZE], source, advertisement.counter)
        if not digests_equal(expected, advertisement.digest):
            return Drop.DIGEST
        if authenticator.is_replay(source, advertisement.counter):
            return Drop.REPLAY
        return advertisement
