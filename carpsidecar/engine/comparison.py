"""Comparing which addresses the kernel has with who should have them.

An address of a group on a node that is not its master was added by hand, by a script or by another tool: then two
nodes answer for it. That is found when it appears and at the start, and by a query every few seconds, since news of
addresses with a lifetime are filtered out (`linux.monitor`), and any may be lost.
"""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from carpsidecar.engine.interface import Interface
from carpsidecar.linux.netlink import IPAddress, Netlink

AFTER_S = 0.1
"""After the news: many come at once, and most are of our own doing."""
GAP_MIN_S = 1.0
EVERY_S = 3.0


class Subject(Protocol):
    """A group."""

    @property
    def started(self) -> bool: ...
    @property
    def interface(self) -> Interface: ...

    def addresses_found(self, there: set[IPAddress]) -> None: ...


class Comparison:
    """Args: groups: by name, which change."""

    def __init__(self, loop: asyncio.AbstractEventLoop, netlink: Netlink, groups: Mapping[str, Subject]) -> None:
        self._loop = loop
        self._netlink = netlink
        self._groups = groups
        self._due: asyncio.TimerHandle | None = None
        self._compared_at = float("-inf")

    def soon(self) -> None:
        """There are news of addresses of groups."""
        if self._due is None:
            at = max(self._loop.time() + AFTER_S, self._compared_at + GAP_MIN_S)
            self._due = self._loop.call_at(at, self._compare)

    def now_and_again(self) -> None:
        """To be called each second or so."""
        if self._loop.time() >= self._compared_at + EVERY_S:
            self._compare()

    def close(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _compare(self) -> None:
        self.close()
        self._compared_at = self._loop.time()
        try:
            there = self._netlink.held()
        except OSError:
            # They changed while they were read: next time.
            return
        for group in list(self._groups.values()):
            link = group.interface.link
            if group.started and link is not None:
                group.addresses_found(there.get(link.index, set()))
