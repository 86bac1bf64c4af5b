"""Comparing which addresses the kernel has with who should have them.

An address of a group on a node that is not its master was added by hand, by a script or by another tool: then two
nodes answer for it. That is found when it appears and at the start, and by a query every few seconds, since news of
addresses with a lifetime are filtered out (`linux.monitor`), and any may be lost. The query waits for a lock of the
kernel that whoever makes interfaces may hold for long, so the loop does not wait for it.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from functools import partial
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
    @property
    def since_s(self) -> float: ...

    def addresses_found(self, there: set[IPAddress]) -> None: ...


class Comparison:
    """
    Args:
        executor: one thread, that of whoever may wait for the kernel.
        groups: by name, which change.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, executor: Executor, groups: Mapping[str, Subject]) -> None:
        self._loop = loop
        self._netlink = Netlink()
        self._executor = executor
        self._groups = groups
        self._due: asyncio.TimerHandle | None = None
        self._compared_at = float("-inf")
        self._queried = False

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
        """When what was begun beside the loop has ended."""
        self._forget()
        self._netlink.close()

    def _forget(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _compare(self) -> None:
        self._forget()
        self._compared_at = self._loop.time()
        if self._queried:
            return
        self._queried = True
        asked = {group: group.since_s for group in self._groups.values() if group.started}
        compared = partial(self._compared, asked)
        query = self._executor.submit(self._netlink.held)
        query.add_done_callback(lambda answer: self._loop.call_soon_threadsafe(compared, answer))

    def _compared(self, asked: Mapping[Subject, float], answer: Future[dict[int, set[IPAddress]]]) -> None:
        self._queried = False
        if isinstance(answer.exception(), OSError):
            # They changed while they were read: next time.
            return
        there = answer.result()
        for group in list(self._groups.values()):
            link = group.interface.link
            # Who became something else meanwhile had them, or has them since.
            if asked.get(group) == group.since_s and link is not None:
                group.addresses_found(there.get(link.index, set()))
