"""When a master is to do what, and until when it can be sure that it is the only one.

Times are seconds of the election's clock, lengths of time too.
"""

from carpsidecar.protocol.timing import TICKS_PER_S

NEVER = float("inf")
NEVER_YET = float("-inf")

RENEWAL_AGE_MIN = 0.25
"""The part of its lifetime for which a lease is left alone: many advertisements need not mean many renewals."""
RENEWAL_AGE_MAX = 0.75
"""The part of its lifetime that a lease may be old: Linux drops an address as early as after 0.9 of it."""

REPLY_GAP_MIN_S = 1 / TICKS_PER_S
"""A master answers a rival at once, but never more often than the fastest CARP advertises.

To advertise and to announce have a gap each: a rival's farewell follows our advertisement by less, and is to make
us announce.
"""

REFRESH_GAP_MIN_S = 1 / 64
REFRESH_AGE_PER_GAP = 400
"""After a master fell silent, its successor says more often than it must that it is there: the silent one may come
back any moment and hold the addresses too, until it hears of us. A gap is 1/400 of the time since, so that it costs
little and ends by itself."""


FLOODED_FOR_S = 3.0
FLOODED_REFRESHES = 4
"""While the segment is flooded, backups may fail to read an advertisement: so many come in an interval then."""


class Timetable:
    """One term as master; as it is made, nothing is due, and nothing sure.

    Args:
        begun_at: when the term began, which is when its addresses were announced first.
        refresh_gap_min_s: how often to refresh at most.
    """

    def __init__(self, begun_at: float, refresh_gap_min_s: float) -> None:
        self.advertise_at = self.renew_at = self.refresh_at = NEVER
        self.patience_until = 0.0
        """Of the backups."""
        self._begun_at = self._announced_at = begun_at
        self._refresh_gap_min_s = refresh_gap_min_s
        self._advertised_at = NEVER_YET
        self._interval_s = 0.0
        self._flooded_until = NEVER_YET
        self._after_silence = False
        self._lease_end = self._renew_from = self._renew_by = 0.0

    @property
    def sure_until(self) -> float:
        """The kernel's lease ends, or the backups' patience."""
        return min(self._lease_end, self.patience_until)

    @property
    def next(self) -> float:
        return min(self.advertise_at, self.renew_at, self.refresh_at)

    def advertised(self, now: float, interval_s: float, patience_s: float) -> None:
        """The next is due in an interval, and backups wait for it that long."""
        self._advertised_at = now
        self._interval_s = interval_s
        self.advertise_at = now + interval_s
        self.patience_until = now + patience_s
        if self.refresh_at != NEVER:
            self.refresh(now)

    def refresh(self, now: float, after_silence: bool = False) -> None:
        """Advertise again soon, and do so for a while."""
        self._after_silence |= after_silence
        gap_s = (now - self._begun_at) / REFRESH_AGE_PER_GAP if self._after_silence else NEVER
        if now < self._flooded_until:
            gap_s = min(gap_s, self._interval_s / FLOODED_REFRESHES)
        gap_s = max(gap_s, self._refresh_gap_min_s)
        self.refresh_at = now + gap_s if gap_s < self._interval_s else NEVER

    def flooded(self, now: float) -> None:
        """More arrives here than can be read, and so it may at the backups."""
        self._flooded_until = now + FLOODED_FOR_S
        if self.refresh_at == NEVER:
            self.refresh(now)

    def leased(self, now: float, lifetime_s: int) -> None:
        """After an advertisement, or between two: from now on for a lifetime."""
        # The backups' patience counts from our advertisement, the lease from its renewal, so one between two
        # advertisements brings the lease's end closer to their takeover. It comes only where the lease would not
        # last until the next advertisement, and then as early as will do.
        age_max_s = RENEWAL_AGE_MAX * lifetime_s
        self._lease_end = now + lifetime_s
        self._renew_from = now + RENEWAL_AGE_MIN * lifetime_s
        self._renew_by = now + age_max_s
        lasts = self._renew_by >= self.advertise_at
        self.renew_at = NEVER if lasts else min(self._renew_by, self.advertise_at - age_max_s)

    def renews_with_advertisement(self, now: float) -> bool:
        """Whether the lease is not young, or would not last until the next one."""
        return now >= self._renew_from or self._renew_by < self.advertise_at

    def may_reply(self, now: float) -> bool:
        return now - self._advertised_at >= REPLY_GAP_MIN_S

    def may_announce(self, now: float) -> bool:
        """Whether the gap is over; from then on it counts as announced."""
        may = now - self._announced_at >= REPLY_GAP_MIN_S
        if may:
            self._announced_at = now
        return may
