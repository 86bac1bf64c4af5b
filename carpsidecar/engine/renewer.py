"""Renewals beside the loop.

The kernel changes addresses under one lock (RTNL, net/core/rtnetlink.c), and whoever brings up interfaces or fills
tables, in any container of the machine, may hold it for long. Advertisements must not wait for that.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from carpsidecar.linux.capabilities import keep_only
from carpsidecar.linux.lease import Lease
from carpsidecar.linux.netlink import Netlink

Renewal = Future[None]


class Renewer:
    """One thread, with a socket of its own, that renews one lease after the other."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._netlink = Netlink()
        # Each thread has privileges of its own, and gives up what it does not need.
        self._thread = ThreadPoolExecutor(1, "renewals", keep_only, (("CAP_NET_ADMIN",), True))
        # It starts now, to have what priority this process is given.
        self._thread.submit(int)

    def renew(self, lease: Lease, done: Callable[[Renewal], None]) -> Renewal:
        """Begin; `done` is called in the loop."""
        renewal = self._thread.submit(lease.renew, self._netlink)
        renewal.add_done_callback(lambda ended: self._loop.call_soon_threadsafe(done, ended))
        return renewal

    def close(self) -> None:
        self._thread.shutdown()
        self._netlink.close()
