"""Keeps an address silent, to the millisecond, from the moment on when its owner no longer renews it.

Source: nft(8), linux/netfilter/nf_tables.h; RFC 826 and 4861 for what is matched. The kernel counts the lifetimes
of addresses in whole seconds; the elements of a set time out at the very moment. Two sets: `ours` has the addresses
of this process's groups, and `live` those that this node holds now, each for as long as it was last renewed.
Dropped is what is for, from, or asked about an address that is in the first and not in the second.

The table outlives its process, or it would be of no use: a killed owner's addresses fall silent. So that it does no
harm for ever, the elements of `ours` time out as well, a while after the kernel has dropped the addresses. Its name
carries the netlink port of its owner, by which the next process that starts knows that the owner is gone.

A third set, `closed`, has addresses at which ports of this node itself are out of reach: those of Services.

On a node that does not hold an address the rules change nothing: traffic for it is not for this node, and what
other machines announce, by ARP or as neighbour advertisements, passes.
"""

import errno
import os
import socket
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from itertools import groupby

from carpsidecar.linux.fence_rules import CLOSED, LIVE, OURS, SETS_OF, closing, silencing
from carpsidecar.linux.netlink import IPAddress
from carpsidecar.linux.nftables import (
    ARP,
    DELCHAIN,
    DELRULE,
    DELSET,
    DELTABLE,
    INET,
    NETLINK_NETFILTER,
    SUBSYSTEM,
    Message,
    Nftables,
    is_bound,
    put,
    take,
    without_table,
)
from carpsidecar.linux.packet_filter import attach, nftables_losses
from carpsidecar.linux.rtnetlink import HEADER, attributes, split

PREFIX = "carpsidecar-"
OURS_TIMEOUT_S = 60.0
"""Longer than any process may need to come round and any address to end by itself, and not for ever."""
KEEP_EVERY_S = 20.0
_NEVER = "never-there"

_GROUP_NFTABLES = 7
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_DELETIONS = {SUBSYSTEM << 8 | kind for kind in (DELTABLE, DELCHAIN, DELRULE, DELSET)}


class Fence:
    """The table of one process. `renew` may be called from another thread.

    Raises:
        OSError: nftables cannot be had; its text says what is missing.
    """

    def __init__(self) -> None:
        self.restored = 0
        """How often somebody deleted what is ours, and it was put back."""
        self._lock = threading.Lock()
        self._ours: dict[IPAddress, None] = {}
        self._closed: dict[IPAddress, None] = {}
        self._live_until: dict[IPAddress, float] = {}
        self._kept_at = 0.0
        # Any that the kernel would not give by itself, and nobody had before.
        self._port = 1 << 30 | int.from_bytes(os.urandom(4), "big") >> 2
        self._name = f"{PREFIX}{self._port:08x}"
        self._nftables = Nftables(self._port)
        try:
            self._nftables.commit([*silencing(self._name), *self._of_the_dead()])
            self._updates = self._kernel_updates_timeouts()
            self._monitor = self._listen()
        except OSError:
            with suppress(OSError):
                self._nftables.commit([without_table(family, self._name) for family in (ARP, INET)])
            self._nftables.close()
            raise

    def fileno(self) -> int:
        """Readable when somebody has deleted rules, of ours or of others."""
        return self._monitor.fileno()

    def close(self) -> None:
        """Take it all away: the addresses are nobody's business from now on."""
        self._monitor.close()
        with suppress(OSError):
            self._nftables.commit([without_table(family, self._name) for family in (ARP, INET)])
        self._nftables.close()

    def add(self, addresses: Collection[IPAddress]) -> None:
        """From now on these are silent here unless they are renewed."""
        with self._lock:
            self._ours.update(dict.fromkeys(addresses))
            self._commit(self._put(OURS, addresses, OURS_TIMEOUT_S))

    def remove(self, addresses: Collection[IPAddress]) -> None:
        """These are ours no longer."""
        with self._lock:
            known = [address for address in addresses if self._ours.pop(address, self) is not self]
            for address in known:
                self._live_until.pop(address, None)
            self._commit([*self._take(OURS, known), *self._take(LIVE, known)])

    def renew(self, until: Mapping[IPAddress, float]) -> None:
        """They are live until then and no longer, by the monotonic clock; what is over stays so."""
        with self._lock:
            self._live_until.update(until)
            self._commit(self._renewal(until))

    def expire(self, addresses: Collection[IPAddress]) -> None:
        """They are live no longer."""
        with self._lock:
            for address in addresses:
                self._live_until.pop(address, None)
            self._commit(self._take(LIVE, addresses))

    def close_ports(self, addresses: Collection[IPAddress]) -> None:
        """From now on nobody reaches ports of this node at these: only connections that were there already, what
        others have translated to somewhere else, and echo requests."""
        with self._lock:
            messages = [] if self._closed else closing(self._name)
            before = dict(self._closed)
            self._closed.update(dict.fromkeys(addresses))
            try:
                self._commit([*messages, *self._put(CLOSED, addresses, OURS_TIMEOUT_S)])
            except OSError:
                self._closed = before
                raise

    def open_ports(self, addresses: Collection[IPAddress]) -> None:
        """They are in reach again."""
        with self._lock:
            known = [address for address in addresses if self._closed.pop(address, self) is not self]
            self._commit(self._take(CLOSED, known))

    def keep(self) -> None:
        """To be called every few seconds, on a backup as well: we live, and our addresses are ours."""
        now = time.monotonic()
        if now - self._kept_at >= KEEP_EVERY_S:
            with self._lock:
                self._kept_at = now
                kept = [(OURS, self._ours), (CLOSED, self._closed)]
                self._commit([step for name, ips in kept for step in self._put(name, ips, OURS_TIMEOUT_S)])

    def receive(self) -> None:
        """Read what was deleted, and put back what was ours."""
        with self._lock:
            if self._was_damaged():
                self._restore()

    def _was_damaged(self) -> bool:
        lost = False
        while True:
            try:
                datagram = self._monitor.recv(1 << 16)
            except BlockingIOError:
                return lost
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                lost = True  # it may have been ours
                continue
            lost = lost or any(self._lost_by(message) for *_rest, message in split(datagram))

    def _lost_by(self, message: bytes) -> bool:
        """Whether this is news of a deletion in our table, by somebody else."""
        _length, kind, _flags, _sequence, port = HEADER.unpack_from(message)
        if kind not in _DELETIONS or port == self._port:
            return False
        found = dict(attributes(message, HEADER.size + 4))
        return found.get(1, b"").rstrip(b"\0") == self._name.encode()

    def _commit(self, messages: list[Message]) -> None:
        if not messages:
            return
        try:
            self._nftables.commit(messages)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            self._restore()

    def _restore(self) -> None:
        """All anew in one transaction, so that there is no moment without it."""
        self._was_damaged()  # what has happened up to now is mended by what follows
        messages = [*silencing(self._name), *self._put(OURS, self._ours, OURS_TIMEOUT_S)]
        if self._closed:
            messages += [*closing(self._name), *self._put(CLOSED, self._closed, OURS_TIMEOUT_S)]
        self._nftables.commit([*messages, *self._renewal(self._live_until)])
        self.restored += 1

    def _renewal(self, until: Mapping[IPAddress, float]) -> list[Message]:
        now = time.monotonic()
        messages: list[Message] = []
        for ends_at, addresses in groupby(until, until.__getitem__):
            if ends_at > now:
                messages += self._put(LIVE, list(addresses), ends_at - now)
        return messages

    def _put(self, name: str, addresses: Iterable[IPAddress], timeout_s: float) -> list[Message]:
        timeout_ms = max(1, int(timeout_s * 1000))
        messages: list[Message] = []
        for family, version in SETS_OF[name]:
            keys = _keys(addresses, version)
            if keys:
                where = family, self._name, f"{name}{version}"
                if not self._updates:
                    messages += put(*where, keys, None) + take(*where, keys)
                messages += put(*where, keys, timeout_ms)
        return messages

    def _take(self, name: str, addresses: Iterable[IPAddress]) -> list[Message]:
        messages: list[Message] = []
        for family, version in SETS_OF[name]:
            keys = _keys(addresses, version)
            if keys:
                where = family, self._name, f"{name}{version}"
                # What is not there cannot be deleted, and an element that ran out is not there.
                messages += put(*where, keys, None) + take(*where, keys)
        return messages

    def _of_the_dead(self) -> list[Message]:
        return [
            without_table(family, name)
            for family, name in self._nftables.tables()
            if family in (ARP, INET) and name.startswith(PREFIX) and name != self._name and not _lives(name)
        ]

    def _kernel_updates_timeouts(self) -> bool:
        """Linux does from 6.12 on; before, an element has to be deleted and added again."""
        where, key = (INET, self._name, f"{OURS}4"), bytes(4)
        for timeout_ms in (1_000_000, 3_000_000):
            self._nftables.commit(put(*where, [key], timeout_ms))
        left_ms = self._nftables.elements(*where).get(key) or 0
        self._nftables.commit(take(*where, [key]))
        return left_ms > 2_000_000

    def _listen(self) -> socket.socket:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        sock = socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER)
        try:
            attach(sock, nftables_losses())
            sock.bind((0, 0))
            sock.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP_NFTABLES)
        except OSError:
            sock.close()
            raise
        return sock


def missing() -> str:
    """What keeps this kernel from having a fence; empty where nothing does."""
    return _tried(silencing(f"{PREFIX}{_NEVER}"))


def cannot_close_ports() -> str:
    """What keeps this kernel from closing ports; empty where nothing does."""
    name = f"{PREFIX}{_NEVER}"
    return _tried([*silencing(name), *closing(name)])


def _tried(messages: list[Message]) -> str:
    """Why it can't be done. It changes nothing: the transaction ends with what must fail."""
    try:
        nftables = Nftables()
    except OSError as error:
        return str(error)
    try:
        nftables.commit([*messages, without_table(INET, _NEVER)])
    except OSError as error:
        return "" if _NEVER in str(error) else error.strerror or str(error)
    finally:
        nftables.close()
    return ""


def _keys(addresses: Iterable[IPAddress], version: int) -> list[bytes]:
    return [address.packed for address in addresses if address.version == version]


def _lives(name: str) -> bool:
    try:
        return is_bound(int(name.removeprefix(PREFIX), 16))
    except ValueError:
        return True  # none of ours
