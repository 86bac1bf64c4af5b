"""One engine a group on a node: two would take each other's addresses off.

The lock is a raw socket of CARP's protocol, bound to a multicast address that is made of interface and vhid, and to
which nothing is ever sent. It belongs to the network namespace, as the interface does, whatever files a container
sees; it is gone with its process, however that ends; and it takes CAP_NET_RAW, so that no other user can have it.
The kernel lists such sockets in /proc/net/raw6 (raw(7); net/ipv6/raw.c), without IPv6 in /proc/net/raw.
"""

import os
import random
import socket
import time
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256, Hash

_PROTOCOL = 112
_IPV6_TABLE, _IPV4_TABLE = Path("/proc/net/raw6"), Path("/proc/net/raw")
_TRIES, _PAUSE_MAX_S = 4, 0.05


class AlreadyLocked(Exception):
    """Another process has the lock."""


class InstanceLock:
    """Held until it is closed.

    Raises:
        AlreadyLocked: another process serves the group.
        OSError: no raw socket can be had.
    """

    def __init__(self, interface: str, vhid: int) -> None:
        for left in reversed(range(_TRIES)):
            if holders(interface, vhid):
                raise AlreadyLocked
            self._socket = _bound(interface, vhid)
            if holders(interface, vhid) == {os.fstat(self._socket.fileno()).st_ino}:
                return
            # Two that start at one moment see each other: both let go, and one is earlier next time.
            self._socket.close()
            if left:
                time.sleep(random.uniform(0, _PAUSE_MAX_S))  # noqa: S311 (no secret)
        raise AlreadyLocked

    def close(self) -> None:
        self._socket.close()


def holders(interface: str, vhid: int) -> set[int]:
    """The inodes of the sockets that hold the lock of this group: none, or one."""
    family, address = _address(interface, vhid)
    # Words of four bytes as they lie in memory, each shown as a number of this machine.
    words = [address[at : at + 4] for at in range(0, len(address), 4)]
    local = "".join(f"{int.from_bytes(word, 'little'):08X}" for word in words) + f":{_PROTOCOL:04X}"
    table = _IPV6_TABLE if family == socket.AF_INET6 else _IPV4_TABLE
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    return {int(row[9]) for row in rows if row[1] == local}


def _bound(interface: str, vhid: int) -> socket.socket:
    family, address = _address(interface, vhid)
    made = socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _PROTOCOL)
    try:
        made.bind((socket.inet_ntop(family, address), 0))
    except OSError:
        made.close()
        raise
    return made


def _address(interface: str, vhid: int) -> tuple[int, bytes]:
    """A family, and a multicast address of it, transient as no group of anybody is."""
    hashed = Hash(SHA256())
    hashed.update(f"carpsidecar/{interface}/{vhid}".encode("utf-8", "surrogateescape"))
    digest = hashed.finalize()
    if _IPV6_TABLE.exists():
        return socket.AF_INET6, b"\xff\x18" + digest[:14]
    return socket.AF_INET, bytes([0xE0 | digest[0] & 0x0F]) + digest[1:4]
