"""Whether an advertisement is signed with the passphrase and the addresses that we were given."""

from collections.abc import Collection
from enum import StrEnum

from carpsidecar.capture.datagram import Datagram
from carpsidecar.capture.decode import Packet
from carpsidecar.protocol.auth import (
    COMPATIBLE_PASSPHRASE_MAX,
    Authenticator,
    CompatibleAuth,
    HardenedAuth,
    digests_equal,
)
from carpsidecar.protocol.hardened_packet import HardenedPacket
from carpsidecar.protocol.keys import KeyRing
from carpsidecar.protocol.packet import (
    HEADER_SIZE,
    VERSION_COMPATIBLE,
    VERSION_HARDENED,
    Advertisement,
    IPAddress,
)


class DigestStatus(StrEnum):
    OK = "ok"
    BAD = "bad"
    UNVERIFIED = "unverified"


class Verifier:
    """Checks digests of either mode and of every vhid against one passphrase and one set of addresses."""

    def __init__(self, passphrase: bytes, addresses: Collection[IPAddress]) -> None:
        self._passphrase = passphrase
        self._keys = KeyRing([passphrase])
        self._addresses = tuple(addresses)
        # At most one a vhid and mode.
        self._made: dict[tuple[int, int], Authenticator | None] = {}

    def check(self, message: Advertisement, datagram: Datagram) -> DigestStatus:
        """UNVERIFIED where the mode is unknown, or can't have such a passphrase."""
        key = (message.version, message.vhid)
        if key not in self._made:
            self._made[key] = authenticator(self._passphrase, self._addresses, *key)
        made = self._made[key]
        if made is None:
            return DigestStatus.UNVERIFIED
        digest = made.digest(datagram.payload[:HEADER_SIZE], datagram.source, message.counter)
        return DigestStatus.OK if digests_equal(digest, message.digest) else DigestStatus.BAD

    def check_hardened(self, datagram: Datagram) -> DigestStatus:
        """The addresses do not matter to it: their fingerprint is in the packet."""
        return DigestStatus.OK if self._keys.verify(datagram.payload, datagram.source) else DigestStatus.BAD


def digest_status(packet: Packet, verifier: Verifier | None) -> DigestStatus:
    """Of any packet; UNVERIFIED where there is no verifier, or no digest."""
    if verifier is not None and isinstance(packet.message, Advertisement):
        return verifier.check(packet.message, packet.datagram)
    if verifier is not None and isinstance(packet.message, HardenedPacket):
        return verifier.check_hardened(packet.datagram)
    return DigestStatus.UNVERIFIED


def authenticator(
    passphrase: bytes, addresses: Collection[IPAddress], version: int, vhid: int
) -> Authenticator | None:
    """What signs such advertisements; None where this mode is unknown, or can't have this passphrase."""
    if version == VERSION_COMPATIBLE and 1 <= len(passphrase) <= COMPATIBLE_PASSPHRASE_MAX:
        return CompatibleAuth(passphrase, vhid, addresses, 0)
    if version == VERSION_HARDENED and passphrase:
        return HardenedAuth(passphrase, vhid, addresses)
    return None
