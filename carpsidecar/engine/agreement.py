"""What all members of a group must agree upon, as a hash that others may see.

Keyed by the passphrase, by way of a slow function, so that nothing of it can be told from the hash.
"""

import hashlib
import hmac
import json
from functools import lru_cache

from carpsidecar.config.group import GroupConfig

_SALT = b"carpsidecar agreement 1"
_COST, _BLOCK = 2048, 8
"""2 MB and some milliseconds."""


def agreement(config: GroupConfig) -> str:
    """Addresses, vhid, mode and passphrase, in 16 hexadecimal digits."""
    addresses = sorted(str(address.ip) for address in config.addresses)
    text = json.dumps([addresses, config.vhid, config.auth]).encode()
    return hmac.digest(_key(config.passphrase.secret), text, "sha256")[:8].hex()


@lru_cache(maxsize=4)
def _key(passphrase: bytes) -> bytes:
    return hashlib.scrypt(passphrase, salt=_SALT, n=_COST, r=_BLOCK, p=1, dklen=32)
