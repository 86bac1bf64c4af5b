"""What all members of a group must agree upon, as a hash that others may see.

Keyed by the passphrase, by way of a slow function, so that nothing of it can be told from the hash.
"""

import hashlib
import hmac
import json
from collections.abc import Collection
from functools import lru_cache

from carpsidecar.config.group import GroupConfig
from carpsidecar.protocol.packet import IPAddress

_SALT = b"carpsidecar agreement 1"
_COST, _BLOCK = 2048, 8
"""2 MB and some milliseconds."""


def agreements(config: GroupConfig) -> list[str]:
    """Vhid, mode, passphrase and, in the compatible mode, the addresses, each in 16 hexadecimal digits.

    Ours, and then those of members that are understood as well. In the hardened mode, members with different
    addresses understand each other.
    """
    lists: list[Collection[IPAddress]] = [()]
    if config.auth == "carp":
        lists = [[address.ip for address in config.addresses], *config.also_accept]
    return [_agreement(config, secret, ips) for ips in lists for secret in config.passphrase.secrets]


def _agreement(config: GroupConfig, secret: bytes, addresses: Collection[IPAddress]) -> str:
    text = json.dumps([sorted(map(str, addresses)), config.vhid, config.auth]).encode()
    return hmac.digest(_key(secret), text, "sha256")[:8].hex()


@lru_cache(maxsize=16)
def _key(passphrase: bytes) -> bytes:
    return hashlib.scrypt(passphrase, salt=_SALT, n=_COST, r=_BLOCK, p=1, dklen=32)
