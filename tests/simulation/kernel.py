"""What a node's kernel does with addresses that have a valid lifetime. It outlives the engine."""

from tests.simulation.world import NEVER, World
from tests.support.contract import gone_within_s

EARLIEST_PART = 0.9
"""A lifetime of L whole seconds ends between 0.9 L and L + 0.5 s: seen on Linux 6.18, 1 s after 0.9 s, 2 s after
2.4 s, 3 s after 2.9 s."""


class Kernel:
    """The group's addresses on one machine."""

    def __init__(self, world: World, index: int) -> None:
        self._world = world
        self.index = index
        self.held = False
        self.held_since = 0.0
        self.held_until = NEVER
        self.lease_ends_latest = 0.0
        self.leased_at = 0.0
        self._ends_at = 0.0
        self._watched_until = 0.0

    def lease(self, lifetime_s: int) -> None:
        """Add the addresses with this lifetime, or renew them: one request does both, as netlink's REPLACE."""
        now = self._world.now
        latest = gone_within_s(lifetime_s)
        earliest = lifetime_s * EARLIEST_PART
        self.lease_ends_latest = now + latest
        self.leased_at = now
        self._ends_at = now + earliest + (latest - earliest) * self._world.rng.random()
        if self._watched_until <= now or self._ends_at < self._watched_until:
            self._watch()
        if not self.held:
            self.held = True
            self.held_since = now
            self._world.monitor.address_added(self.index)

    def remove(self) -> None:
        self._let_go()

    def power_off(self) -> None:
        self._let_go()

    def _let_go(self) -> None:
        if self.held:
            self.held = False
            self.held_until = self._world.now

    def _watch(self) -> None:
        self._watched_until = self._ends_at
        self._world.at(self._ends_at, self._expire, self._ends_at)

    def _expire(self, watched: float) -> None:
        if watched != self._watched_until:
            return
        self._watched_until = 0.0
        if not self.held:
            return
        if self._ends_at > self._world.now:
            self._watch()
            return
        self._let_go()
        self._world.monitor.lease_ended(self.index)
