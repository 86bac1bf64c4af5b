"""Whether a packet is signed with the passphrases and the addresses that we were given."""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum

from carpsidecar.capture.datagram import Datagram
from carpsidecar.capture.decode import Packet, Vrrp
from carpsidecar.protocol.auth import COMPATIBLE_PASSPHRASE_MAX, Accepted, CompatibleAuth
from carpsidecar.protocol.hardened_packet import HardenedPacket
from carpsidecar.protocol.keys import KeyRing
from carpsidecar.protocol.packet import VERSION_COMPATIBLE, Advertisement, IPAddress


class DigestStatus(StrEnum):
    OK = "ok"
    BAD = "bad"
    UNVERIFIED = "unverified"


class Verifier:
    """Checks digests of either mode and of every vhid against some passphrases and one set of addresses.

    In the hardened mode the addresses do not matter: their fingerprint is in the packet.
    """

    def __init__(self, passphrases: Sequence[bytes], addresses: Collection[IPAddress]) -> None:
        self._keys = KeyRing(passphrases)
        fitting = [passphrase for passphrase in passphrases if len(passphrase) <= COMPATIBLE_PASSPHRASE_MAX]
        self._accepted = [Accepted(passphrase, tuple(addresses)) for passphrase in fitting]
        self._compatible: dict[int, CompatibleAuth] = {}
        """By vhid."""

    def check(self, message: Advertisement | HardenedPacket, datagram: Datagram) -> DigestStatus:
        """UNVERIFIED where the mode is unknown, or can't have such passphrases."""
        if isinstance(message, HardenedPacket):
            good = self._keys.verify(datagram.payload, datagram.source)
        elif message.version != VERSION_COMPATIBLE or not self._accepted:
            return DigestStatus.UNVERIFIED
        else:
            if message.vhid not in self._compatible:
                self._compatible[message.vhid] = CompatibleAuth(message.vhid, self._accepted, 0)
            good = self._compatible[message.vhid].signed(message)
        return DigestStatus.OK if good else DigestStatus.BAD


class GroupsVerifier:
    """Checks each packet with what the group of its vhid has; UNVERIFIED where there is no such group."""

    def __init__(self, verifiers: Mapping[int, Verifier]) -> None:
        self._verifiers = verifiers

    def check(self, message: Advertisement | HardenedPacket, datagram: Datagram) -> DigestStatus:
        verifier = self._verifiers.get(message.vhid)
        return verifier.check(message, datagram) if verifier is not None else DigestStatus.UNVERIFIED


def digest_status(packet: Packet, verifier: Verifier | GroupsVerifier | None) -> DigestStatus:
    """Of any packet; UNVERIFIED where there is no verifier, or no digest."""
    if verifier is None or packet.message is None or isinstance(packet.message, Vrrp):
        return DigestStatus.UNVERIFIED
    return verifier.check(packet.message, packet.datagram)
