"""Daemons that are broken on purpose, to see that the judge notices: see `--broken`."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from carpsidecar.engine import addresses, announcements, fencing, group, interface
from carpsidecar.engine.group import Group
from carpsidecar.protocol import election
from carpsidecar.protocol.effects import Settings
from carpsidecar.protocol.election import Election


def keeps_the_address() -> None:
    """The address is never taken off; the lease ends it."""
    addresses.HeldAddresses.remove = lambda self: None  # type: ignore[method-assign]


def has_no_lease() -> None:
    """The kernel is told to hold the address for a minute."""
    election.lease_lifetime_s = lambda *args: 60  # type: ignore[attr-defined]


def has_no_fence() -> None:
    fencing.Fencing.add = lambda *args: None  # type: ignore[method-assign]


def never_preempts() -> None:
    configure = Election.__init__

    def without(self: Election, settings: Settings, source: Any) -> None:
        configure(self, Settings(settings.advbase, settings.advskew, settings.dead_ratio, preempt=False), source)

    Election.__init__ = without  # type: ignore[method-assign]


def is_blind_to_the_cable() -> None:
    interface.Interface.up = property(lambda self: self.link is not None)  # type: ignore[assignment]


def lives_by_the_wall_clock() -> None:
    asyncio.SelectorEventLoop.time = lambda self: time.time()  # type: ignore[method-assign]


def does_not_announce() -> None:
    announcements.Announcements.announce = lambda self: None  # type: ignore[method-assign]


def fights_on() -> None:
    """A master never yields."""
    Election._heard_as_master = lambda self, now, *rest: self._advertise(now)  # type: ignore[method-assign]


def leaks() -> None:
    hoard: list[Any] = []
    heard = Group.heard

    def and_hoard(self: Group, *args: Any, **named: Any) -> None:
        hoard.append((bytearray(os.urandom(65536)), os.dup(0)))
        heard(self, *args, **named)

    group.Group.heard = and_hoard  # type: ignore[method-assign]


_ALL: Sequence[Callable[[], None]] = (
    keeps_the_address,
    has_no_lease,
    has_no_fence,
    never_preempts,
    is_blind_to_the_cable,
    lives_by_the_wall_clock,
    does_not_announce,
    fights_on,
    leaks,
)
MUTANTS = {mutant.__name__.replace("_", "-"): mutant for mutant in _ALL}
