"""When what failed is tried again, so that no demotion outlives its cause.

A node that could not send, or could not add the addresses, demotes itself. As a backup it does neither, and would
never learn that it could again: so it tries, by a test that changes nothing for anybody else. The first comes soon,
the next at growing intervals, and a test that succeeds ends the demotion. Where the real thing fails again soon
after a good test, the intervals go on growing: the address moves at a bounded rate, whatever the test overlooks.

Times are seconds of one monotonic clock.
"""

from typing import Final

NEVER: Final = float("inf")

GAP_MIN_S: Final = 1.0
GAP_MAX_S: Final = 60.0
QUIET_S: Final = 2 * GAP_MAX_S
"""After so long without a failure, the next one is a new one."""


class Recovery:
    """Of one kind of failure."""

    def __init__(self) -> None:
        self.due_at = NEVER
        """When to try again; NEVER where nothing failed."""
        self._gap_s = 0.0
        self._failed_at = -NEVER

    def failed(self, now: float) -> None:
        """The real thing failed. Where it has been failing for a while, the next test stays where it is."""
        if self.due_at == NEVER:
            self._grow(now)
        self._failed_at = now

    def begin(self, now: float) -> None:
        """A test is made. Unless it succeeds, the next one follows."""
        self._grow(now)
        self._failed_at = now

    def end(self) -> None:
        """Nothing fails any more."""
        self.due_at = NEVER

    def _grow(self, now: float) -> None:
        is_new = now - self._failed_at >= QUIET_S
        self._gap_s = GAP_MIN_S if is_new else min(GAP_MAX_S, max(GAP_MIN_S, 2 * self._gap_s))
        self.due_at = now + self._gap_s
