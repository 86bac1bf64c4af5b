"""What a group advertises, how long things take, and when they are due.

It follows from the settings, every demotion, a promotion by hand, and from when a master last did what.
"""

from carpsidecar.protocol.effects import Advertise, Settings
from carpsidecar.protocol.timetable import REFRESH_GAP_MIN_S, Timetable
from carpsidecar.protocol.timing import (
    TICKS_PER_S,
    demoted_advskew,
    interval_ticks,
    lease_lifetime_s,
    master_down_ticks,
    winning_advskew,
)


class Pace:
    """Times are seconds; intervals that are compared are ticks, which are whole."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.demotion = 0
        """In all: what demotes is the member's to know."""
        self.refresh_gap_min_s = REFRESH_GAP_MIN_S
        """To be longer where many groups share an interface."""
        self._promoted_advskew: int | None = None
        self._term = Timetable(0.0, REFRESH_GAP_MIN_S)
        """Empty where this is no master."""

    @property
    def advskew(self) -> int:
        """The advskew that we advertise and compare: the configured or promoted one, and every demotion."""
        return demoted_advskew(self._own_advskew, self.demotion)

    @property
    def advertisement(self) -> Advertise:
        return Advertise(self.settings.advbase, self.advskew)

    @property
    def interval_s(self) -> float:
        return self._interval_ticks / TICKS_PER_S

    @property
    def master_down_s(self) -> float:
        return self._master_down_ticks / TICKS_PER_S

    @property
    def lifetime_s(self) -> int:
        """The valid lifetime with which the kernel is to hold the addresses."""
        return lease_lifetime_s(self.settings.advbase, self._own_advskew, self.settings.dead_ratio)

    @property
    def lease_until(self) -> float:
        """Until when a master may think that it is the only one: its lease ends, or its backups' patience."""
        return self._term.sure_until

    @property
    def patience_until(self) -> float:
        """Until when its backups wait for a master's next advertisement."""
        return self._term.patience_until

    def _begin_term(self, now: float) -> None:
        self._term = Timetable(now, self.refresh_gap_min_s)

    def _advertisement(self, now: float) -> Advertise:
        """To be sent now: the next one is due in an interval."""
        self._term.advertised(now, self.interval_s, self.master_down_s)
        return self.advertisement

    def _refresh(self, now: float) -> Advertise:
        """To be sent now, between two: backups wait from here on, and the next one comes when it was due."""
        self._term.patience_until = now + self.master_down_s
        self._term.refresh(now)
        return self.advertisement

    def _lease(self, now: float) -> None:
        """The addresses are leased now."""
        self._term.leased(now, self.lifetime_s)

    def _advskew_that_wins(self, their_ticks: int, wins_ties: bool) -> int | None:
        """With which a master of that interval yields to us, promoted and not demoted; None: with none."""
        return winning_advskew(self.settings.advbase, self.settings.advskew, their_ticks, wins_ties)

    @property
    def _own_advskew(self) -> int:
        if self._promoted_advskew is None:
            return self.settings.advskew
        return min(self.settings.advskew, self._promoted_advskew)

    @property
    def _interval_ticks(self) -> int:
        return interval_ticks(self.settings.advbase, self.advskew)

    @property
    def _master_down_ticks(self) -> int:
        return master_down_ticks(self.settings.advbase, self.advskew, self.settings.dead_ratio)
