"""Telling the segment where a group's addresses are: after a takeover, now and again, and when another machine
claims one of them."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from logging import WARNING

from carpsidecar.engine.group_log import GroupLog
from carpsidecar.engine.interface import Interface
from carpsidecar.ipc.messages import Notice
from carpsidecar.logs import in_words
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

CONTINUE_AFTER_S = 0.05

DEFENCE_GAP_MIN_S, DEFENCE_GAP_MAX_S = 0.1, 10.0
"""A foreign claim is answered at once, but a flood of them not more often than this, and then ever more seldom: two
masters that each answer the other's announcement would never end."""
DEFENCE_FORGOTTEN_AFTER_S = 30.0
ANSWER_AFTER_S = 0.05
"""A ucarp that preempts us announces the address before it advertises: that is no claim to answer."""


class Announcements:
    """From `announce` on until `stop`: while this node is master."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        interface: Interface,
        ips: Collection[IPAddress],
        log: GroupLog,
        notice: Callable[[Notice], None],
    ) -> None:
        self.foreign_claims = 0
        self._loop = loop
        self._interface = interface
        self._ips = list(ips)
        self._log = log
        self._notice = notice
        self._again: list[asyncio.TimerHandle] = []
        self._answering: asyncio.TimerHandle | None = None
        self._defending: asyncio.TimerHandle | None = None
        self._continuing: asyncio.TimerHandle | None = None
        self._waiting: Sequence[IPAddress] = []
        """What could not be announced yet, because it would have been too much."""
        self._defended_at = float("-inf")
        self._defence_gap_s = DEFENCE_GAP_MIN_S
        self._rests_until = float("-inf")

    def configure(self, ips: Collection[IPAddress]) -> None:
        """From now on it is about these."""
        self._ips = list(ips)

    def announce(self) -> None:
        """At once, or after the rest, and again at growing intervals and then now and then."""
        first = not self._again
        self._stop_announcing()
        now = self._loop.time()
        self._again = [self._loop.call_at(now + after_s, self._announce) for after_s in ANNOUNCE_AGAIN_AFTER_S]
        self._again.append(self._loop.call_at(now + REFRESH_AFTER_S, self._refresh))
        if first:
            self._announce_once()
        else:
            self._announce()

    def stop(self) -> None:
        self._stop_announcing()
        for timer in (self._answering, self._continuing):
            if timer is not None:
                timer.cancel()
        self._answering = self._continuing = None
        self._waiting = []

    def claimed(self, address: IPAddress, mac: bytes, by_peer: bool) -> None:
        """Another machine says by ARP or NDP that it has one of our addresses. `by_peer`: a member of the group."""
        self.foreign_claims += not by_peer
        if self._answering is None:
            self._answering = self._loop.call_later(ANSWER_AFTER_S, self._answer, address, mac, by_peer)

    def defend(self, now: float) -> None:
        """Announce against a foreign claim: at once, or when the gap is over, so that the last word is ours."""
        if self._defending is None:
            if now - self._defended_at > DEFENCE_FORGOTTEN_AFTER_S:
                self._defence_gap_s = DEFENCE_GAP_MIN_S
            due = self._defended_at + self._defence_gap_s
            if now >= due:
                self._defend()
            else:
                self._defending = self._loop.call_at(due, self._defend)

    def _stop_announcing(self) -> None:
        for handle in self._again:
            handle.cancel()
        self._again.clear()
        if self._defending is not None:
            self._defending.cancel()
            self._defending = None

    def _answer(self, address: IPAddress, mac: bytes, by_peer: bool) -> None:
        self._answering = None
        if by_peer:
            self.defend(self._loop.time())
            return
        peer = mac.hex(":")
        text = f"{peer} claims {address} while we hold it: announced again; is it configured there by hand?"
        if self._log.log_sometimes(WARNING, "conflict", text, about=mac, address=str(address), mac=peer):
            group, interface = self._log.group, self._log.interface
            self._notice(Notice(kind="conflict", group=group, interface=interface, peer=peer, text=text))
        self.defend(self._loop.time())

    def _announce(self) -> None:
        if self._loop.time() >= self._rests_until:
            self._announce_within_limit()
        else:
            self._again.append(self._loop.call_at(self._rests_until, self._announce))

    def _announce_within_limit(self) -> None:
        """All but the first time and the refreshes may be because of what another machine sends. What has to wait
        goes first next time."""
        waiting = set(self._waiting)
        self._waiting = self._try(
            self._interface.answer, [*self._waiting, *(ip for ip in self._ips if ip not in waiting)]
        )
        if self._waiting and self._continuing is None:
            self._continuing = self._loop.call_later(CONTINUE_AFTER_S, self._continue)

    def _continue(self) -> None:
        self._continuing = None
        self._waiting = self._try(self._interface.answer, self._waiting)
        if self._waiting:
            self._continuing = self._loop.call_later(CONTINUE_AFTER_S, self._continue)

    def _refresh(self) -> None:
        begun = self._loop.time()
        self._announce_once()
        took_s = self._loop.time() - begun
        self._again = [self._loop.call_later(max(REFRESH_AFTER_S, REFRESHING_REST * took_s), self._refresh)]

    def _defend(self) -> None:
        self._defending = None
        self._defended_at = self._loop.time()
        self._defence_gap_s = min(2 * self._defence_gap_s, DEFENCE_GAP_MAX_S)
        self._announce_within_limit()

    def _announce_once(self) -> None:
        self._try(self._interface.announce, self._ips)

    def _try(
        self, announce: Callable[[list[IPAddress]], Sequence[IPAddress] | None], ips: Sequence[IPAddress]
    ) -> Sequence[IPAddress]:
        begun, rest = self._loop.time(), None
        try:
            rest = announce(list(ips))
        except OSError as error:
            text = f"the addresses could not be announced: {in_words(error)}"
            self._log.log_sometimes(WARNING, "announce_failed", text)
        ended = self._loop.time()
        self._rests_until = ended + ANNOUNCING_REST * (ended - begun)
        return rest or []
