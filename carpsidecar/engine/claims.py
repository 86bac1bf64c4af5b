"""Listening on one interface to who claims our addresses, by ARP and neighbour advertisements."""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Protocol

from carpsidecar.linux.claims import ClaimWatch
from carpsidecar.linux.netlink import Link
from carpsidecar.protocol.packet import IPAddress

_RECEIVE_LIMIT = 64
_FLOOD_PAUSE_S = 0.02


class Holder(Protocol):
    @property
    def ips(self) -> Collection[IPAddress]: ...
    @property
    def is_master(self) -> bool: ...

    def claimed(self, address: IPAddress, mac: bytes) -> None: ...


class ClaimListener:
    def __init__(self, loop: asyncio.AbstractEventLoop, groups: Mapping[int, Holder]) -> None:
        self.unread = 0
        """Claims that came faster than they are answered."""
        self._loop = loop
        self._groups = groups
        self._watch: ClaimWatch | None = None
        self._watches_soon = False

    def open(self, link: Link) -> None:
        """Raises: OSError: a socket can't be opened."""
        if self._watch is None:
            self._watch = ClaimWatch(link.index, link.mac)
            self._listen(self._watch)
            self.watch_soon()

    def close(self) -> None:
        if self._watch is not None:
            self._loop.remove_reader(self._watch.fileno())
            self._watch.close()
            self._watch = None

    def watch_soon(self) -> None:
        """Watch for foreign claims of all addresses that our masters hold, as soon as there is nothing more urgent.

        Hundreds of groups may change at once, and each time it is about the addresses of all.
        """
        if not self._watches_soon:
            self._watches_soon = True
            self._loop.call_soon(self._watch_now)

    def count_unread(self) -> None:
        if self._watch is not None:
            self.unread += self._watch.unread()

    def _watch_now(self) -> None:
        self._watches_soon = False
        if self._watch is not None:
            # Its interface may be gone meanwhile, and then netlink says so.
            with suppress(OSError):
                self._watch.watch(ip for group in self._groups.values() if group.is_master for ip in group.ips)

    def _listen(self, watch: ClaimWatch) -> None:
        if watch is self._watch:
            self._loop.add_reader(watch.fileno(), self._readable, watch)

    def _readable(self, watch: ClaimWatch) -> None:
        try:
            claims = watch.receive(_RECEIVE_LIMIT)
        except OSError:
            return
        if watch.flooded:
            # One answer in a while is enough, and we need not be woken meanwhile.
            self._loop.remove_reader(watch.fileno())
            self._loop.call_later(_FLOOD_PAUSE_S, self._listen, watch)
        for claim in claims:
            for group in self._groups.values():
                if claim.address in group.ips:
                    group.claimed(claim.address, claim.mac)
