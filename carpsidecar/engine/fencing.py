"""The fence of this process's groups: opened with the first that wants it, renewed with each advertisement.

The kernel's lock of its rules may be held for long by whoever loads many of them, so that renewals run beside the
loop, by a thread of their own: that of the leases may wait for another lock. What is due for several groups at once
goes in one transaction.
"""

import asyncio
import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from logging import ERROR, WARNING
from typing import TYPE_CHECKING

from carpsidecar.config.group import GroupConfig
from carpsidecar.linux.capabilities import keep_only
from carpsidecar.logs import in_words, log
from carpsidecar.protocol.packet import IPAddress
from carpsidecar.protocol.timing import TICKS_PER_S, master_down_ticks

if TYPE_CHECKING:
    from carpsidecar.linux.fence import Fence

MARGIN_MAX_S = 0.012
"""So much earlier than a backup loses its patience: the kernel rounds up to its tick, 10 ms at most."""
MARGIN_PART = 0.25
"""Of the patience, where that is shorter: a master must not be silent between two advertisements."""

CLOSE_AGAIN_AFTER_S = 10.0
LEASE_SUFFICES_S = 3.0
"""From this patience of the backups on, the kernel drops an address by itself in time: see protocol.timing."""


def is_wanted(config: GroupConfig) -> bool:
    """Whether the group is to be fenced. Where hooks hold the addresses, their end is not ours to say."""
    if config.fence == "off" or not config.holds_addresses:
        return False
    settings = config.settings
    patience_s = master_down_ticks(settings.advbase, settings.advskew, settings.dead_ratio) / TICKS_PER_S
    return config.fence == "on" or patience_s < LEASE_SUFFICES_S


def live_until(backups_wait_until: float, patience_s: float) -> float:
    """Until when a master is to be heard that does not advertise again, with backups of this patience."""
    return backups_wait_until - min(MARGIN_MAX_S, MARGIN_PART * patience_s)


class Fencing:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.lacking = ""
        """Why there is no fence though one is wanted; empty where there is."""
        self._loop = loop
        self._fence: Fence | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._due: dict[IPAddress, float] = {}
        self._restored = 0
        self.ports_lacking = ""
        """Why ports are not closed though they are to be; empty where they are."""
        self._closed: dict[IPAddress, None] = {}
        self._closes_again_at = 0.0

    def close_ports(self, addresses: Collection[IPAddress]) -> None:
        """From now on this node's own ports are out of reach at these."""
        self._closed.update(dict.fromkeys(addresses))
        self._close(addresses)

    def open_ports(self, addresses: Collection[IPAddress]) -> None:
        """They are in reach again."""
        for address in addresses:
            self._closed.pop(address, None)
        if self._fence is not None:
            self._try(self._fence.open_ports, addresses)

    def add(self, addresses: Collection[IPAddress], until: float) -> None:
        """From now on these are silent on this node unless they are renewed, for the first time with this."""
        try:
            fence = self._fence or self._open()
            self.lacking = ""
            fence.renew(dict.fromkeys(addresses, until))
            fence.add(addresses)
        except OSError as error:
            self._give_up(error)

    def remove(self, addresses: Collection[IPAddress]) -> None:
        if self._fence is not None:
            self._try(self._fence.remove, addresses)

    def renew(self, addresses: Collection[IPAddress], until: float) -> bool:
        """They are live until then and no longer; without waiting for the kernel. Whether there is a fence."""
        if self._fence is None or self._thread is None:
            return False
        with self._lock:
            submitted = bool(self._due)
            self._due.update(dict.fromkeys(addresses, until))
        if not submitted:
            self._thread.submit(self._renew_due, self._fence)
        return True

    def renew_now(self, addresses: Collection[IPAddress], until: float) -> None:
        """The same, and done when it returns."""
        if self._fence is not None:
            self._try(self._fence.renew, dict.fromkeys(addresses, until))

    def expire(self, addresses: Collection[IPAddress]) -> None:
        """They are live no longer, whatever was due."""
        with self._lock:
            for address in addresses:
                self._due.pop(address, None)
        if self._fence is not None:
            self._try(self._fence.expire, addresses)

    def keep(self) -> None:
        """To be called every second."""
        if self._fence is not None:
            self._try(self._fence.keep)
        if self.ports_lacking and self._loop.time() >= self._closes_again_at:
            self._close(self._closed)

    def close(self) -> None:
        if self._fence is not None:
            fence, self._fence = self._fence, None
            self._loop.remove_reader(fence.fileno())
            if self._thread is not None:
                self._thread.shutdown()
            fence.close()

    def _close(self, addresses: Collection[IPAddress]) -> None:
        """Better served with open ports than not at all: it is warned of, and tried again."""
        try:
            (self._fence or self._open()).close_ports(addresses)
        except OSError as error:
            self._report_ports(in_words(error))
        else:
            self.ports_lacking = ""

    def _report_ports(self, text: str) -> None:
        self._closes_again_at = self._loop.time() + CLOSE_AGAIN_AFTER_S
        if text != self.ports_lacking:
            self.ports_lacking = text
            log(ERROR, "ports_open", f"ports of this node are in reach at the addresses of Services: {text}")

    def _open(self) -> "Fence":
        # Here, since most groups need none.
        from carpsidecar.linux.fence import Fence

        fence = self._fence = Fence()
        self._restored = 0
        self._loop.add_reader(fence.fileno(), self._damaged, fence)
        # It starts now, to have what priority this process is given.
        self._thread = ThreadPoolExecutor(1, "fence", keep_only, (("CAP_NET_ADMIN",), True))
        self._thread.submit(int)
        return fence

    def _renew_due(self, fence: "Fence") -> None:
        with self._lock:
            due, self._due = self._due, {}
        try:
            fence.renew(due)
        except OSError as error:
            self._loop.call_soon_threadsafe(self._give_up, error)
            return
        if fence.restored != self._restored:
            self._loop.call_soon_threadsafe(self._report_restored, fence)

    def _damaged(self, fence: "Fence") -> None:
        self._try(fence.receive)
        self._report_restored(fence)

    def _report_restored(self, fence: "Fence") -> None:
        if fence is self._fence and fence.restored != self._restored:
            self._restored = fence.restored
            log(WARNING, "fence_restored", "somebody deleted rules of ours from nftables: they are back")

    def _try(self, change: Callable[..., None], *arguments: object) -> None:
        try:
            change(*arguments)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Better held a little too long by a dead node than silent on a living one."""
        had = self._fence is not None
        self.close()
        text = in_words(error)
        if self._closed:
            self._report_ports(text)
        if text != self.lacking:
            self.lacking = text
            what = "is taken away" if had else "can't be had"
            log(
                ERROR if had else WARNING,
                "fence_unavailable",
                f"the fence {what}, and a node that dies or hangs may hold an address until the kernel drops it,"
                f" a second or two: {text}",
            )
