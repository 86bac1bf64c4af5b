"""A group's addresses on its interface: added, renewed, put back, taken off, and announced."""

import asyncio
from collections.abc import Callable
from functools import partial
from logging import ERROR

from carpsidecar.config.group import GroupConfig
from carpsidecar.engine.interface import Interface
from carpsidecar.engine.renewer import Renewal, Renewer
from carpsidecar.linux.lease import Lease
from carpsidecar.linux.netlink import Netlink
from carpsidecar.logs import in_words, log
from carpsidecar.protocol.packet import IPAddress

ANNOUNCE_AGAIN_AFTER_S = (0.1, 0.3, 1.0, 3.0)
"""One announcement may be lost, and some switches learn late."""

REFRESH_AFTER_S = 10.0
"""From then on, again and again. A master that could not hear did not notice that another one had announced itself
meanwhile, and a router may believe that one for hours (Cisco: four)."""
REFRESHING_REST = 1000
"""A refresh is not urgent: it takes at most this part of the time."""

ANNOUNCING_REST = 10
"""After an announcement comes a rest that is so many times as long as it took. Somebody who plays recorded
advertisements again makes a master announce, and with hundreds of addresses each time is hundreds of frames."""

DEFENCE_GAP_MIN_S = 0.1
"""A foreign claim is answered at once, but a flood of them not more often than this."""


class Holding:
    """Adds nothing where the configuration leaves the addresses to hooks; it announces them all the same.

    Args:
        failed: called with the error when an announcement can't be sent.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        netlink: Netlink,
        interface: Interface,
        config: GroupConfig,
        renewer: Renewer,
        failed: Callable[[OSError], None],
    ) -> None:
        self.ips: dict[IPAddress, None] = dict.fromkeys(address.ip for address in config.addresses)
        self._loop = loop
        self._netlink = netlink
        self._interface = interface
        self._config = config
        self._renewer = renewer
        self._failed = failed
        self._lease: Lease | None = None
        self._lease_is_for = (0, 0)
        self._renewal: Renewal | None = None
        """What is under way."""
        self._again: list[asyncio.TimerHandle] = []
        self._defending: asyncio.TimerHandle | None = None
        self._defended_at = float("-inf")
        self._rests_until = float("-inf")

    def renew(self, lifetime_s: int) -> None:
        """Have the kernel hold the addresses for so long from now on, whether it holds them already or not.

        Raises:
            OSError: it refuses, or the interface is not there.
        """
        if self._config.holds_addresses:
            lease = self._lease_for(lifetime_s)
            self._settle()
            lease.renew()

    def renew_soon(self, lifetime_s: int, done: Callable[[OSError | None], None]) -> bool:
        """The same without waiting for the kernel. Not while one renewal is under way: False.

        Args:
            done: called in the loop, with the error if there is one; not after a release.

        Raises:
            OSError: the interface is not there.
        """
        if not self._config.holds_addresses:
            done(None)
            return True
        if self._renewal is not None:
            return False
        self._renewal = self._renewer.renew(self._lease_for(lifetime_s), partial(self._renewed, done))
        return True

    def _renewed(self, done: Callable[[OSError | None], None], renewal: Renewal) -> None:
        if renewal is not self._renewal:
            return
        self._renewal = None
        error = renewal.exception()
        if error is not None and not isinstance(error, OSError):
            raise error
        done(error)

    def _settle(self) -> None:
        """A renewal that is under way must not come after what is done next."""
        renewal, self._renewal = self._renewal, None
        if renewal is not None:
            renewal.exception()

    def _lease_for(self, lifetime_s: int) -> Lease:
        link = self._interface.link
        if link is None:
            raise OSError(f"interface {self._interface.name} is not there")
        if self._lease is None or self._lease_is_for != (link.index, lifetime_s):
            self._lease = Lease(self._netlink, link.index, self._config.addresses, lifetime_s)
            self._lease_is_for = (link.index, lifetime_s)
        return self._lease

    def release(self) -> None:
        self.stop_announcing()
        self._settle()
        if self._lease is None:
            return
        try:
            self._lease.release()
        except OSError as error:
            # With its interface an address is gone anyway.
            if self._interface.link is not None:
                log(
                    ERROR,
                    "release_failed",
                    f"an address could not be taken off, and ends by itself: {in_words(error)}",
                    group=self._config.name,
                )

    def lost(self, removed: set[IPAddress]) -> set[IPAddress]:
        """Which of those that the kernel dropped are ours and not back since."""
        ours = removed & self.ips.keys()
        if not ours or self._lease is None:
            return set()
        return ours - {address.interface.ip for address in self._netlink.addresses(self._lease_is_for[0])}

    def announce(self) -> None:
        """At once, or after the rest, and again at growing intervals and then now and then."""
        self.stop_announcing()
        now = self._loop.time()
        self._again = [self._loop.call_at(now + after_s, self._announce) for after_s in ANNOUNCE_AGAIN_AFTER_S]
        self._again.append(self._loop.call_at(now + REFRESH_AFTER_S, self._refresh))
        self._announce()

    def defend(self, now: float) -> None:
        """Announce against a foreign claim: at once, or when the gap is over, so that the last word is ours."""
        if self._defending is None:
            due = self._defended_at + DEFENCE_GAP_MIN_S
            if now >= due:
                self._defend()
            else:
                self._defending = self._loop.call_at(due, self._defend)

    def stop_announcing(self) -> None:
        for handle in self._again:
            handle.cancel()
        self._again.clear()
        if self._defending is not None:
            self._defending.cancel()
            self._defending = None

    def _announce(self) -> None:
        if self._loop.time() >= self._rests_until:
            self._announce_once()
        else:
            self._again.append(self._loop.call_at(self._rests_until, self._announce))

    def _refresh(self) -> None:
        begun = self._loop.time()
        self._announce_once()
        took_s = self._loop.time() - begun
        self._again = [self._loop.call_later(max(REFRESH_AFTER_S, REFRESHING_REST * took_s), self._refresh)]

    def _defend(self) -> None:
        self._defending = None
        self._defended_at = self._loop.time()
        self._announce_once()

    def _announce_once(self) -> None:
        begun = self._loop.time()
        try:
            self._interface.announce(list(self.ips))
        except OSError as error:
            self._failed(error)
        ended = self._loop.time()
        self._rests_until = ended + ANNOUNCING_REST * (ended - begun)
