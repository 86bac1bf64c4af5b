"""Asks the network whether anybody has an address that is about to be given to a Service."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv6Address

from carpsidecar.linux.claims import ClaimWatch
from carpsidecar.linux.netlink import IPAddress, Link
from carpsidecar.linux.probe import Prober

ASK_AFTER_S = (0.0, 0.05, 0.15)
ANSWERS_WITHIN_S = 0.3
TOGETHER_S = 0.005
"""What is asked for within it is listened for at once: each time the kernel takes a filter of all addresses."""
AT_ONCE_MAX = 1000

Done = Callable[[bytes | None], None]
"""Called with the hardware address of whoever answered, or None."""


class AddressProbes:
    """One socket for each interface and family, for as long as something is asked there."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._segments: dict[int, _Segment] = {}

    @property
    def under_way(self) -> int:
        return sum(len(segment.asked) for segment in self._segments.values())

    def ask(self, link: Link, address: IPAddress, source: IPv6Address | None, done: Done) -> None:
        """
        Args:
            source: an address of this interface to ask for IPv6 addresses from.

        Raises:
            OSError: a socket can't be opened, or too much is asked at once.
        """
        if self.under_way >= AT_ONCE_MAX:
            raise OSError(f"{AT_ONCE_MAX} addresses are asked for already: try again")
        segment = self._segments.get(link.index)
        if segment is None:
            segment = self._segments[link.index] = _Segment(self._loop, link)
        segment.ask(address, source, done)
        self._loop.call_later(ANSWERS_WITHIN_S, self._end, link.index, segment, address)

    def close(self) -> None:
        for segment in self._segments.values():
            segment.close()
        self._segments.clear()

    def _end(self, index: int, segment: "_Segment", address: IPAddress) -> None:
        if self._segments.get(index) is segment:
            segment.end(address)
            if not segment.asked:
                segment.close()
                del self._segments[index]


class _Segment:
    """Raises: OSError."""

    def __init__(self, loop: asyncio.AbstractEventLoop, link: Link) -> None:
        self.asked: dict[IPAddress, list[Done]] = {}
        self._loop = loop
        self._watches_soon = False
        self._watch = ClaimWatch(link.index, link.mac)
        try:
            self._prober = Prober(link.name, link.mac)
        except OSError:
            self._watch.close()
            raise
        loop.add_reader(self._watch.fileno(), self._readable)

    def ask(self, address: IPAddress, source: IPv6Address | None, done: Done) -> None:
        others = self.asked.setdefault(address, [])
        others.append(done)
        if len(others) > 1:
            return
        if not self._watches_soon:
            self._watches_soon = True
            self._loop.call_later(TOGETHER_S, self._listen)
        for after_s in ASK_AFTER_S:
            self._loop.call_later(TOGETHER_S + after_s, self._ask, address, source)

    def end(self, address: IPAddress, mac: bytes | None = None) -> None:
        for done in self.asked.pop(address, ()):
            done(mac)

    def close(self) -> None:
        self._loop.remove_reader(self._watch.fileno())
        self._watch.close()
        self._prober.close()
        self.asked.clear()

    def _listen(self) -> None:
        self._watches_soon = False
        # Where that can't be, the interface is most likely gone.
        with suppress(OSError):
            self._watch.watch(self.asked)

    def _ask(self, address: IPAddress, source: IPv6Address | None) -> None:
        if address in self.asked:
            # A question that can't be sent stays unanswered, and the interface is most likely gone.
            with suppress(OSError):
                self._prober.ask([address], source)

    def _readable(self) -> None:
        with suppress(OSError):
            for claim in self._watch.receive(64):
                if not claim.rank:
                    self.end(claim.address, claim.mac)
