"""What the hardened mode signs with: keys derived from passphrases, and the fingerprint of a group's addresses."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from carpsidecar.protocol.hardened_packet import DIGEST_SIZE
from carpsidecar.protocol.packet import IPAddress

FINGERPRINT_SIZE = 8
_KEY_SIZE, _KEY_ID_SIZE = 32, 4
_KEY_ID_AT = slice(8, 8 + _KEY_ID_SIZE)
_INFO = b"carpsidecar hardened mode, version 2"
_MAPPED = bytes(10) + b"\xff\xff"


class _Key(NamedTuple):
    id: bytes
    keyed: HMAC


class KeyRing:
    """Signs with the first passphrase and accepts all, so that a passphrase can be changed while nodes run.

    A key and its id are 36 bytes of HKDF-SHA256 (RFC 5869) without salt. The id is no secret, and tells as much
    about a passphrase as a digest does: who records one can try guesses of the passphrase against it.

    Raises:
        ValueError: there is no passphrase, or an empty one.
    """

    def __init__(self, passphrases: Sequence[bytes]) -> None:
        if not passphrases or not all(passphrases):
            raise ValueError("an empty passphrase")
        keys = [_derive(passphrase) for passphrase in passphrases]
        self.ids = tuple(key.id for key in keys)
        """The one that signs first."""
        self._signs = keys[0].keyed
        self._accepts = {key.id: key.keyed for key in reversed(keys)}

    def sign(self, packet: bytes, source: IPAddress) -> bytes:
        """The digest of a packet that holds the first key's id, sent from this address."""
        return _digest(self._signs, packet, source)

    def knows(self, payload: bytes) -> bool:
        """Whether the key that a packet names is one of ours."""
        return payload[_KEY_ID_AT] in self._accepts

    def verify(self, payload: bytes, source: IPAddress) -> bool:
        """Whether a packet that came from this address was signed with the key that it names."""
        keyed = self._accepts.get(payload[_KEY_ID_AT])
        if keyed is None:
            return False
        return bytes_eq(_digest(keyed, payload[:-DIGEST_SIZE], source), payload[-DIGEST_SIZE:])


def fingerprint(addresses: Collection[IPAddress]) -> bytes:
    """Eight bytes that differ where the addresses do, whatever their order; link-local ones count."""
    digest = Hash(SHA256())
    for packed in sorted({_sixteen_bytes(address) for address in addresses}):
        digest.update(packed)
    return digest.finalize()[:FINGERPRINT_SIZE]


def _derive(passphrase: bytes) -> _Key:
    derived = HKDF(SHA256(), _KEY_SIZE + _KEY_ID_SIZE, salt=None, info=_INFO).derive(passphrase)
    return _Key(derived[_KEY_SIZE:], HMAC(derived[:_KEY_SIZE], SHA256()))


def _digest(keyed: HMAC, packet: bytes, source: IPAddress) -> bytes:
    signed = keyed.copy()
    signed.update(_sixteen_bytes(source) + packet)
    return signed.finalize()[:DIGEST_SIZE]


def _sixteen_bytes(address: IPAddress) -> bytes:
    """An IPv4 address as IPv6 writes it (RFC 4291, section 2.5.5.2)."""
    return address.packed if address.version == 6 else _MAPPED + address.packed
