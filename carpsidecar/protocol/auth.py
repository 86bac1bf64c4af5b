"""The two ways to sign an advertisement.

Compatible (ucarp, OpenBSD, FreeBSD, NetBSD): HMAC-SHA1, its key the passphrase, over version, type, vhid, the
group's addresses and the counter. It covers neither advskew nor advbase, and nothing stops a replay.

Hardened (ours, opt-in): HMAC-SHA256 cut to 160 bits over the addresses, every header field, the sender's address
and the counter, which is microseconds since the epoch and must rise. The sender's address is in it so that a
recorded packet cannot be played again under the name of a node that was never heard.
"""

from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from carpsidecar.protocol.packet import VERSION_COMPATIBLE, VERSION_HARDENED, IPAddress

COMPATIBLE_PASSPHRASE_MAX = 19
"""Bytes: CARP_KEY_LEN is 20 in ucarp and the BSDs, with the closing zero. Longer ones they refuse or cut."""

DIGEST_SIZE = 20
_COUNTER_LIMIT = 1 << 64
_REPLAY_SOURCES_MAX = 256


class Authenticator(Protocol):
    """What a group signs its advertisements with, and checks its peers' by."""

    @property
    def version(self) -> int:
        """The first byte of every packet in this mode."""

    def next_counter(self, wall_clock_us: int) -> bytes:
        """The counter of the next advertisement, 8 bytes."""

    def digest(self, header: bytes, source: IPAddress, counter: bytes) -> bytes:
        """The 20 bytes that sign a packet with this header and counter, sent from this address."""

    def is_replay(self, source: IPAddress, counter: bytes) -> bool:
        """Whether a packet with a good digest was heard before; if not, it has been now."""


def address_bytes(addresses: Collection[IPAddress]) -> tuple[bytes, bytes]:
    """The addresses that a digest covers: IPv4 ascending, and IPv6 ascending without link-local ones."""
    v4 = sorted(a.packed for a in addresses if isinstance(a, IPv4Address))
    v6 = sorted(a.packed for a in addresses if isinstance(a, IPv6Address) and not a.is_link_local)
    return b"".join(v4), b"".join(v6)


def digests_equal(one: bytes, other: bytes) -> bool:
    """Compare in constant time."""
    return bytes_eq(one, other)


class CompatibleAuth:
    """HMAC-SHA1 as ucarp and the BSDs have it.

    Args:
        passphrase: 1 to 19 bytes.
        first_counter: where the counter starts; a random one, so that a restart does not repeat the last run's.

    Raises:
        ValueError: the passphrase is empty or too long.
    """

    version = VERSION_COMPATIBLE

    def __init__(self, passphrase: bytes, vhid: int, addresses: Collection[IPAddress], first_counter: int) -> None:
        if not 1 <= len(passphrase) <= COMPATIBLE_PASSPHRASE_MAX:
            raise ValueError(f"a passphrase of {len(passphrase)} bytes; CARP takes 1 to 19")
        v4, v6 = address_bytes(addresses)
        # CARP fixes SHA-1; as an HMAC it is still sound (RFC 6194, section 3.3).
        self._keyed = HMAC(passphrase, SHA1())  # noqa: S303
        self._keyed.update(b"\x02\x01" + bytes((vhid,)) + v4 + v6)
        self._counter = first_counter % _COUNTER_LIMIT

    def next_counter(self, wall_clock_us: int) -> bytes:
        self._counter = (self._counter + 1) % _COUNTER_LIMIT
        return self._counter.to_bytes(8, "big")

    def digest(self, header: bytes, source: IPAddress, counter: bytes) -> bytes:
        signed = self._keyed.copy()
        signed.update(counter)
        return signed.finalize()

    def is_replay(self, source: IPAddress, counter: bytes) -> bool:
        # OpenBSD sends the same counter for as long as an interface lives, and ucarp goes on from the one that
        # it heard last, so that no rule can tell a replay from a peer.
        return False


class HardenedAuth:
    """HMAC-SHA256 over all that an advertisement says, guarded against replay.

    Args:
        passphrase: at least one byte, of any length.

    Raises:
        ValueError: the passphrase is empty.
    """

    version = VERSION_HARDENED

    def __init__(self, passphrase: bytes, vhid: int, addresses: Collection[IPAddress]) -> None:
        if not passphrase:
            raise ValueError("an empty passphrase")
        v4, v6 = address_bytes(addresses)
        self._keyed = HMAC(passphrase, SHA256())
        self._keyed.update(len(v4).to_bytes(4, "big") + v4 + len(v6).to_bytes(4, "big") + v6 + bytes((vhid,)))
        self._counter = 0
        self._heard: dict[IPAddress, bytes] = {}

    def next_counter(self, wall_clock_us: int) -> bytes:
        # A clock that is set back must not make our own packets look like replays.
        self._counter = min(max(self._counter + 1, wall_clock_us), _COUNTER_LIMIT - 1)
        return self._counter.to_bytes(8, "big")

    def digest(self, header: bytes, source: IPAddress, counter: bytes) -> bytes:
        signed = self._keyed.copy()
        signed.update(header + source.packed + counter)
        return signed.finalize()[:DIGEST_SIZE]

    def is_replay(self, source: IPAddress, counter: bytes) -> bool:
        highest = self._heard.get(source)
        if highest is not None and counter <= highest:
            return True
        if highest is None and len(self._heard) >= _REPLAY_SOURCES_MAX:
            del self._heard[next(iter(self._heard))]
        self._heard[source] = counter
        # Nor may it across a restart, when we forget our last counter: whoever remembers it has gone past it.
        self._counter = max(self._counter, int.from_bytes(counter, "big"))
        return False
