"""Is the address of a silent master still held? A backup asks for it, and need not wait out its patience.

The kernel of a machine that lives answers ARP (RFC 826) and neighbour solicitations (RFC 4861, section 7.2.4) for
the addresses that it holds, however busy its processes are. A lost machine does not, nor does one whose lease or
fence ran out. So when an advertisement is overdue, questions go out in quick succession, and when several in a row
stay unanswered the master is gone. An answer means: wait on. It never makes the wait longer than without a probe.

Of many groups that follow one master not each needs to ask all that: the questions but for the last one are about
this master's machine, and an answer to one group is one to all. The last one is about the group's own address.

None of this is used before this very master has answered a question while it still advertised: a switch, a router
in between or an `arp_ignore` may swallow questions or answers, and then silence means nothing.

Times are seconds of one monotonic clock, lengths of time too.
"""

from enum import Enum
from typing import Final

NEVER: Final = float("inf")

QUESTIONS: Final = 6
"""That stay unanswered in a row before a master counts as gone. In a silent interval there is time for a dozen such
rows: with one packet in ten lost at random, one silent interval in 1250 is mistaken; four questions, one in 75."""

OVERDUE_PART: Final = 0.1
OVERDUE_MIN_S: Final = 0.005
OVERDUE_MAX_S: Final = 0.1
"""How late an advertisement may be before somebody asks, as a part of its interval: what a busy sender costs it."""

GAP_PART: Final = 0.013
GAP_MIN_S: Final = 0.002
GAP_MAX_S: Final = 0.013
"""Between two questions, and after the last one, as a part of the interval; never less than two round trips."""

HELD_GAPS: Final = 4
"""So many gaps after an answer comes the next question: the master may be gone any moment."""

CALIBRATIONS_MAX: Final = 3
"""Questions to a master that is new, one an interval, until it has answered one."""

_SPREAD: Final = 64
"""Groups are calibrated at different times of the interval: a new master may have hundreds."""


class ProbeStep(Enum):
    """What is to be done now."""

    NOTHING = "nothing"
    ASK = "ask"
    """Send one question, and read what has arrived before the next `timer_expired`."""
    GONE = "gone"
    """The master is gone: take over."""


class Probe:
    """The questions of one backup about the master that it follows.

    Args:
        vhid: so that many groups do not ask at the same moment.
    """

    def __init__(self, vhid: int) -> None:
        self.shortens = True
        """Whether it asks for a silent master too, and not only who answers for one that advertises."""
        self._phase = vhid % _SPREAD / _SPREAD
        self.forget()

    def forget(self) -> None:
        """This is no backup any more, or it follows nobody."""
        self.round_trip_s: float | None = None
        """What the master's first answer took; None before it."""
        self.unanswered = 0
        """Questions in a row."""
        self._master: object = None
        self._interval_s = 0.0
        self._asked_at = NEVER
        self._calibrations = CALIBRATIONS_MAX
        self._calibrate_at = self._ask_at = NEVER
        self._calibrated_until = self._overdue_at = 0.0

    @property
    def calibrated(self) -> bool:
        """Whether this master has answered a question: only then does silence mean something."""
        return self.round_trip_s is not None

    def calibrates(self, now: float) -> bool:
        """Whether who answers now does so while the master advertises: it, or somebody who answers for it."""
        return now < self._calibrated_until and not self.unanswered

    @property
    def asks_again(self) -> bool:
        """Whether the question that was just asked about a silent master is not the last one."""
        return 0 < self.unanswered < QUESTIONS

    @property
    def deadline(self) -> float:
        """When `timer_expired` wants to be called; NEVER where nothing is to be asked."""
        return min(self._ask_at, self._calibrate_at)

    @property
    def gap_s(self) -> float:
        gap_s = min(max(GAP_PART * self._interval_s, GAP_MIN_S), GAP_MAX_S)
        return max(gap_s, 2 * (self.round_trip_s or 0.0))

    def advertised(self, now: float, master: object, interval_s: float) -> None:
        """The master, any value that tells one from another, advertised, and will again in an interval."""
        if master != self._master:
            self.forget()
            self._master = master
            self._calibrations = 0
            self._calibrate_at = now + interval_s * self._phase
        self._interval_s = interval_s
        self.unanswered = 0
        self._overdue_at = now + interval_s + min(max(OVERDUE_PART * interval_s, OVERDUE_MIN_S), OVERDUE_MAX_S)
        if self.calibrated and self.shortens:
            self._ask_at = self._overdue_at

    def advertised_again(self, now: float, interval_s: float) -> None:
        """The same by its address of the other family."""
        if self._master is not None:
            self.advertised(now, self._master, interval_s)

    def answered(self, now: float) -> None:
        """The address is held by somebody that this node knows as the master, or that may be it."""
        if self._asked_at == NEVER:
            return
        if not self.calibrated:
            self.round_trip_s = now - self._asked_at
            self._calibrate_at = NEVER
            if self.shortens and now < self._overdue_at:  # this may have been its last advertisement
                self._ask_at = self._overdue_at
        elif self.unanswered:
            self.unanswered = 0
            self._ask_at = now + HELD_GAPS * self.gap_s
        self._asked_at = NEVER

    def stalled(self, now: float) -> None:
        """This node was not run itself for a while: what went unanswered meanwhile says nothing."""
        self.unanswered = 0
        if self._ask_at != NEVER:
            self._ask_at = max(self._ask_at, now + self._interval_s)
        if self._calibrate_at != NEVER:
            self._calibrate_at = max(self._calibrate_at, now + self._interval_s)

    def timer_expired(self, now: float) -> ProbeStep:
        """Harmless when it comes early."""
        if now >= self._ask_at:
            if self.unanswered >= QUESTIONS:
                return ProbeStep.GONE
            self.unanswered += 1
            self._ask_at = now + self.gap_s
        elif now >= self._calibrate_at:
            self._calibrations += 1
            self._calibrated_until = now + self._interval_s
            more = self._calibrations < CALIBRATIONS_MAX
            self._calibrate_at = now + self._interval_s if more else NEVER
        else:
            return ProbeStep.NOTHING
        self._asked_at = now
        return ProbeStep.ASK
