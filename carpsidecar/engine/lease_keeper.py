"""A master's lease: taken at once, renewed beside the election, and never believed beyond its end."""

import asyncio
from collections.abc import Callable
from functools import partial

from carpsidecar.engine.holding import Holding
from carpsidecar.protocol.election import Election


class LeaseKeeper:
    """Knows until when nobody can have taken over from us.

    Args:
        missed: called where that time has passed, now that somebody looks.
        cannot_hold: called with the error where the kernel does not hold the addresses.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        election: Election,
        holding: Holding,
        missed: Callable[[], None],
        cannot_hold: Callable[[OSError], None],
    ) -> None:
        self.renewals = 0
        self._loop = loop
        self._election = election
        self._holding = holding
        self._missed = missed
        self._cannot_hold = cannot_hold
        self._ends_at = 0.0
        """When the lease ends that the kernel has confirmed."""
        self._sure_until = 0.0
        self._renew_again = False

    @property
    def is_over(self) -> bool:
        """Whether somebody may have taken over: we were stopped since, or the kernel has not renewed yet."""
        return self._loop.time() >= self._sure_until

    @property
    def left_s(self) -> float:
        return max(0.0, self._ends_at - self._loop.time())

    def settle(self) -> None:
        """What the election wanted is done: go by its times from now on."""
        self._sure_until = min(self._ends_at, self._election.lease_until)

    def take(self) -> bool:
        """Whether the kernel holds the addresses, and in time."""
        lifetime_s = self._election.lifetime_s
        ends_at = self._loop.time() + lifetime_s
        try:
            self._holding.renew(lifetime_s)
        except OSError as error:
            self._cannot_hold(error)
            return False
        self.renewals += 1
        self._ends_at = ends_at
        self._renew_again = False
        if self._loop.time() >= self._election.lease_until:
            # Stopped between looking at the clock and the kernel's answer.
            self._missed()
            return False
        return True

    def renew(self) -> bool:
        """Whether it is under way: the kernel's answer comes later."""
        lifetime_s = self._election.lifetime_s
        ends_at = self._loop.time() + lifetime_s
        try:
            self._renew_again = not self._holding.renew_soon(lifetime_s, partial(self._renewed, ends_at))
        except OSError as error:
            self._cannot_hold(error)
            return False
        return True

    def _renewed(self, ends_at: float, error: OSError | None) -> None:
        if error is not None:
            self._cannot_hold(error)
        elif self.is_over:
            self._missed()
        else:
            self.renewals += 1
            self._ends_at = ends_at
            self.settle()
            if self._renew_again:
                self.renew()
