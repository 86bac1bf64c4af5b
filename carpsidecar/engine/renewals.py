"""Renewals of leases, beside the loop.

The kernel changes addresses under one lock (RTNL, net/core/rtnetlink.c), and whoever brings up interfaces or fills
tables, in any container of the machine, may hold it for long. Advertisements must not wait for that.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from carpsidecar.linux.capabilities import keep_only
from carpsidecar.linux.lease import Lease, renew
from carpsidecar.linux.netlink import Netlink

BATCH = 50
"""Leases that are renewed in one go: whoever waits for one of them does not wait for hundreds."""
GATHER_S = 0.05
"""What becomes due within this time goes together; a lease lasts a second at least, and is renewed long before."""

Done = Callable[[OSError | None], None]


class Renewer:
    """One thread, with a socket of its own. What becomes due for many groups at once goes in batches."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._netlink = Netlink()
        # Each thread has privileges of its own, and gives up what it does not need.
        self._thread = ThreadPoolExecutor(1, "renewals", keep_only, (("CAP_NET_ADMIN",), True))
        # It starts now, to have what priority this process is given.
        self._thread.submit(int)
        self._changed = threading.Condition()
        self._due: dict[Lease, Done] = {}
        self._under_way: dict[Lease, Done] = {}
        self._works = False
        self._begins: asyncio.TimerHandle | None = None

    def renew(self, lease: Lease, done: Done) -> None:
        """Begin soon, at once where they are to be arranged anew; `done` is called in the loop."""
        with self._changed:
            self._due[lease] = done
            works = self._works
        if lease.rearranges:
            self._begin()
        elif not works and self._begins is None:
            self._begins = self._loop.call_later(GATHER_S, self._begin)

    def forget(self, lease: Lease) -> None:
        """What was begun of it has ended when this returns, and what was not is not done at all."""
        with self._changed:
            self._due.pop(lease, None)
            self._changed.wait_for(lambda: lease not in self._under_way)

    def wait_for(self, lease: Lease) -> None:
        """Until it has been renewed, where that was to be done."""
        self._begin()
        with self._changed:
            self._changed.wait_for(lambda: lease not in self._under_way and lease not in self._due)

    def _begin(self) -> None:
        if self._begins is not None:
            self._begins.cancel()
            self._begins = None
        with self._changed:
            works, self._works = self._works, bool(self._due) or self._works
            begins = self._works and not works
        if begins:
            self._thread.submit(self._work)

    def close(self) -> None:
        if self._begins is not None:
            self._begins.cancel()
        self._thread.shutdown()
        self._netlink.close()

    def _work(self) -> None:
        while True:
            with self._changed:
                batch = dict(islice(self._due.items(), BATCH))
                self._works = bool(batch)
                if not batch:
                    return
                self._under_way = batch
                for lease in batch:
                    del self._due[lease]
            try:
                ended: list[OSError | None] = renew(list(batch), self._netlink)
            except Exception as error:
                self._loop.call_soon_threadsafe(_raise, error)
                ended = [OSError(f"unexpected: {error!r}")] * len(batch)
            with self._changed:
                self._under_way = {}
                self._changed.notify_all()
            self._loop.call_soon_threadsafe(self._report, list(batch.values()), ended)

    def _report(self, done: Sequence[Done], ended: Sequence[OSError | None]) -> None:
        for report, error in zip(done, ended, strict=True):
            self._loop.call_soon(report, error)


def _raise(error: Exception) -> None:
    """In the loop, which logs it."""
    raise error
