"""How a group signs its advertisements and checks its peers': in the compatible mode, or in the hardened one.

Compatible (ucarp, OpenBSD, FreeBSD, NetBSD): HMAC-SHA1, its key the passphrase, over version, type, vhid, the
group's addresses and the counter. It covers neither advskew nor advbase, and nothing stops a replay. The hardened
mode, for nodes of our own, has modules of its own: `hardened` is its face.
"""

from collections.abc import Collection, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.hmac import HMAC

from carpsidecar.protocol.hardened_packet import HardenedPacket, Role
from carpsidecar.protocol.packet import (
    VERSION_COMPATIBLE,
    Advertisement,
    Drop,
    IPAddress,
    checksum_fits,
    header,
    pack,
    unpack,
)

COMPATIBLE_PASSPHRASE_MAX = 19
"""Bytes: CARP_KEY_LEN is 20 in ucarp and the BSDs, with the closing zero. Longer ones they refuse or cut."""

_COUNTER_LIMIT = 1 << 64


class Claim(NamedTuple):
    """What a node says of itself in an advertisement."""

    role: Role
    advbase: int
    advskew: int
    since_s: float
    """When the role began, on the clock of `now`."""


class Authenticator(Protocol):
    """One group's side of a mode. `now` is seconds of one monotonic clock."""

    def advertisement(self, now: float, source: IPAddress, claim: Claim) -> bytes:
        """The packet to send from this address."""

    def receive(self, now: float, payload: bytes, source: IPAddress) -> Advertisement | HardenedPacket | Drop:
        """Check a packet for this group and of this mode; what comes back without a drop may be believed."""

    def differs_in_vhid_only(self, payload: bytes, source: IPAddress) -> bool:
        """Whether a well-formed packet of another vhid, of either mode, has our passphrase and addresses."""


class Accepted(NamedTuple):
    """What signs an advertisement in the compatible mode."""

    passphrase: bytes
    addresses: Collection[IPAddress]


def address_bytes(addresses: Collection[IPAddress]) -> tuple[bytes, bytes]:
    """The addresses that a compatible digest covers: IPv4 ascending, and IPv6 ascending without link-local ones."""
    v4 = sorted(a.packed for a in addresses if isinstance(a, IPv4Address))
    v6 = sorted(a.packed for a in addresses if isinstance(a, IPv6Address) and not a.is_link_local)
    return b"".join(v4), b"".join(v6)


class CompatibleAuth:
    """HMAC-SHA1 as ucarp and the BSDs have it.

    Args:
        accepted: what signs a peer's advertisements; ours are signed with the first. Passphrases of 1 to 19 bytes.
        first_counter: where the counter starts; a random one, so that a restart does not repeat the last run's.

    Raises:
        ValueError: a passphrase is empty or too long, or there is none.
    """

    def __init__(self, vhid: int, accepted: Sequence[Accepted], first_counter: int) -> None:
        self._vhid = vhid
        self._counter = first_counter % _COUNTER_LIMIT
        self.configure(accepted)

    def configure(self, accepted: Sequence[Accepted]) -> None:
        """Go on with these. Raises: ValueError."""
        if not accepted:
            raise ValueError("no passphrase")
        self._accepted = tuple(accepted)
        self._keyed = [_keyed(self._vhid, *one) for one in accepted]

    def advertisement(self, now: float, source: IPAddress, claim: Claim) -> bytes:
        self._counter = (self._counter + 1) % _COUNTER_LIMIT
        counter = self._counter.to_bytes(8, "big")
        head = header(self._vhid, claim.advskew, claim.advbase)
        return pack(head, counter, _over(self._keyed[0], counter).finalize())

    def receive(self, now: float, payload: bytes, source: IPAddress) -> Advertisement | Drop:
        # OpenBSD sends the same counter for as long as an interface lives, and ucarp goes on from the one that it
        # heard last, so that no rule can tell a replay from a peer.
        if not checksum_fits(payload, source):
            return Drop.CHECKSUM
        advertisement = unpack(payload)
        return advertisement if self.signed(advertisement) else Drop.DIGEST

    def signed(self, advertisement: Advertisement) -> bool:
        """Whether one of what is accepted signed it."""
        return _signed(self._keyed, advertisement)

    def differs_in_vhid_only(self, payload: bytes, source: IPAddress) -> bool:
        if payload[0] != VERSION_COMPATIBLE or not checksum_fits(payload, source):
            return False
        advertisement = unpack(payload)
        return _signed([_keyed(advertisement.vhid, *one) for one in self._accepted], advertisement)


def _signed(keyed: Iterable[HMAC], advertisement: Advertisement) -> bool:
    return any(_fits(one, advertisement.counter, advertisement.digest) for one in keyed)


def _keyed(vhid: int, passphrase: bytes, addresses: Collection[IPAddress]) -> HMAC:
    if not 1 <= len(passphrase) <= COMPATIBLE_PASSPHRASE_MAX:
        raise ValueError(f"a passphrase of {len(passphrase)} bytes; CARP takes 1 to 19")
    v4, v6 = address_bytes(addresses)
    # CARP fixes SHA-1; as an HMAC it is still sound (RFC 6194, section 3.3).
    keyed = HMAC(passphrase, SHA1())  # noqa: S303
    keyed.update(b"\x02\x01" + bytes((vhid,)) + v4 + v6)
    return keyed


def _over(keyed: HMAC, counter: bytes) -> HMAC:
    signed = keyed.copy()
    signed.update(counter)
    return signed


def _fits(keyed: HMAC, counter: bytes, digest: bytes) -> bool:
    try:
        _over(keyed, counter).verify(digest)  # in constant time
    except InvalidSignature:
        return False
    return True
