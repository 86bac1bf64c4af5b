"""Listening on one interface to who claims our addresses, by ARP and neighbour advertisements."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from ipaddress import IPv6Address
from typing import Protocol

from carpsidecar.engine.shared_questions import SharedQuestions
from carpsidecar.linux.claims import ClaimWatch
from carpsidecar.linux.netlink import Link
from carpsidecar.linux.probe import Prober
from carpsidecar.protocol.packet import IPAddress

_RECEIVE_LIMIT = 64
_FLOOD_PAUSE_S = 0.02
WATCHING_REST = 10
"""Hundreds of groups may change one by one: after it was settled what is watched comes a rest that is so many times
as long as that took."""
_ANSWERS_WITHIN_S = 1.5
"""For so long after a question all groups' addresses are watched: where one asks, others soon will."""


class Holder(Protocol):
    @property
    def ips(self) -> Collection[IPAddress]: ...
    @property
    def is_master(self) -> bool: ...

    def claimed(self, address: IPAddress, mac: bytes, solicited: bool) -> None: ...
    def wanted(self, rank: bytes) -> None: ...
    def master_answered(self, master: IPAddress) -> None: ...


class ClaimListener:
    def __init__(self, loop: asyncio.AbstractEventLoop, groups: Mapping[int, Holder]) -> None:
        self.shared = SharedQuestions()
        self.unread = 0
        """Claims that came faster than they are answered."""
        self._loop = loop
        self._groups = groups
        self._watch: ClaimWatch | None = None
        self._watches_soon = False
        self._watching_took_s = 0.0
        self._owners: dict[IPAddress, Holder] = {}
        """Whose the addresses are that are watched."""
        self._prober: Prober | None = None
        self._asked_until = 0.0

    def open(self, link: Link) -> None:
        """Raises: OSError: a socket can't be opened."""
        if self._watch is None:
            watch = ClaimWatch(link.index, link.mac)
            try:
                self._prober = Prober(link.name, link.mac)
            except OSError:
                watch.close()
                raise
            self._watch = watch
            self._listen(self._watch)
            # At once: under a new hardware address the addresses are announced next, and that may be contradicted.
            self._watch_now()

    def close(self) -> None:
        if self._watch is not None:
            self._loop.remove_reader(self._watch.fileno())
            self._watch.close()
            self._watch = None
        if self._prober is not None:
            self._prober.close()
            self._prober = None
        self._asked_until = 0.0

    def ask(self, addresses: Iterable[IPAddress], source: IPv6Address | None, rank: bytes) -> None:
        """Ask the segment who has these: answers are claims, which the groups are handed.

        Args:
            source: an IPv6 address of ours to ask from.
            rank: as in `Prober.ask`.
        """
        if self._prober is None:
            return
        now = self._loop.time()
        watches_all, self._asked_until = now < self._asked_until, now + _ANSWERS_WITHIN_S
        if not watches_all:
            self._watch_now()
            self._loop.call_at(self._asked_until, self._end_of_answers)
        # A question that can't be sent stays unanswered, and the interface is most likely gone.
        with suppress(OSError):
            self._prober.ask(addresses, source, rank)

    def read(self) -> None:
        """Hand over what has arrived by now."""
        if self._watch is not None:
            self._readable(self._watch)

    def watch_soon(self) -> None:
        """Watch for foreign claims of what our masters hold, as soon as there is nothing more urgent.

        Hundreds of groups may change at once, and each time it is about the addresses of all.
        """
        if not self._watches_soon:
            self._watches_soon = True
            self._loop.call_later(WATCHING_REST * self._watching_took_s, self._watch_now)

    def count_unread(self) -> None:
        if self._watch is not None:
            self.unread += self._watch.unread()

    def _end_of_answers(self) -> None:
        if self._loop.time() < self._asked_until:
            self._loop.call_at(self._asked_until, self._end_of_answers)
        else:
            self.shared.forget()
            self.watch_soon()

    def _watch_now(self) -> None:
        self._watches_soon = False
        if self._watch is None:
            return
        begun = self._loop.time()
        asks = begun < self._asked_until
        self._owners = {ip: group for group in self._groups.values() if asks or group.is_master for ip in group.ips}
        # Its interface may be gone meanwhile, and then netlink says so.
        with suppress(OSError):
            self._watch.watch(self._owners)
        self._watching_took_s = self._loop.time() - begun

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
            master = self.shared.master_of(claim.address) if claim.solicited else None
            owner = self._owners.get(claim.address)
            if owner is not None and claim.rank:
                owner.wanted(claim.rank)
            elif owner is not None:
                owner.claimed(claim.address, claim.mac, claim.solicited)
            if master is not None:
                for group in self._groups.values():
                    if group is not owner:
                        group.master_answered(master)
