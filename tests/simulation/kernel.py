"""What a node's kernel does with addresses that have a valid lifetime, and a fence. It outlives the engine."""

from carpsidecar.engine.fencing import live_until
from tests.simulation.world import NEVER, World
from tests.support.contract import gone_within_s

EARLIEST_PART = 0.9
"""A lifetime of L whole seconds ends between 0.9 L and L + 0.5 s: seen on Linux 6.18, 1 s after 0.9 s, 2 s after
2.4 s, 3 s after 2.9 s."""
FENCE_LATE_MAX_S = 0.01
"""The kernel's tick, in its coarsest configuration."""


def fence_ends_in_time(patience_s: float, masters_patience_s: float) -> bool:
    """Whether a backup with this patience takes over only when a fenced master that is gone has fallen silent."""
    late = live_until(0.0, masters_patience_s) + FENCE_LATE_MAX_S > 0
    return patience_s >= masters_patience_s and not late


class Kernel:
    """The group's addresses on one machine.

    Args:
        fenced: whether they are silent unless the engine says until when they are live.
    """

    def __init__(self, world: World, index: int, fenced: bool) -> None:
        self._world = world
        self.index = index
        self.fenced = fenced
        self.held = False
        """They stand on the interface."""
        self.answers_since = 0.0
        self._let_go_at = self._live_until = NEVER
        self._fence_watched_until = 0.0
        self.lease_ends_latest = 0.0
        self.leased_at = 0.0
        self._ends_at = 0.0
        self._watched_until = 0.0

    @property
    def answers(self) -> bool:
        """Whether it holds the addresses, as others see it."""
        return self.held and (not self.fenced or self._world.now < self._live_until)

    @property
    def answered_until(self) -> float:
        until = self._world.now if self.held else self._let_go_at
        return min(until, self._live_until) if self.fenced else until

    def lease(self, lifetime_s: int) -> None:
        """Add the addresses with this lifetime, or renew them: one request does both, as netlink's REPLACE."""
        now, answered = self._world.now, self.answers
        latest = gone_within_s(lifetime_s)
        earliest = lifetime_s * EARLIEST_PART
        self.lease_ends_latest = now + latest
        self.leased_at = now
        self._ends_at = now + earliest + (latest - earliest) * self._world.rng.random()
        if self._watched_until <= now or self._ends_at < self._watched_until:
            self._watch()
        self.held = True
        self._settle(answered)

    def keep_live(self, until: float) -> None:
        """The fence lets them be heard until then; what is over stays so."""
        now, answered = self._world.now, self.answers
        if self.fenced and until > now:
            self._live_until = until + FENCE_LATE_MAX_S * self._world.rng.random()
            if self._fence_watched_until <= now:
                self._watch_fence()
            self._settle(answered)

    def silence(self) -> None:
        self._live_until = min(self._live_until, self._world.now)

    def remove(self) -> None:
        self._let_go()

    def power_off(self) -> None:
        self.silence()
        self._let_go()

    def _let_go(self) -> None:
        if self.held:
            self._let_go_at = self.answered_until
            self.held = False

    def _settle(self, answered: bool) -> None:
        if self.answers and not answered:
            self.answers_since = self._world.now
            self._world.monitor.address_answers(self.index)

    def _watch_fence(self) -> None:
        self._fence_watched_until = self._live_until
        self._world.at(self._live_until, self._fence_ends)

    def _fence_ends(self) -> None:
        if self._live_until > self._world.now:
            self._watch_fence()
        elif self.held:
            self._world.monitor.fence_ended(self.index)

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
