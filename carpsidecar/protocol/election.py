"""The election: who holds the addresses of one group.

Events come in with the time at which they happened, and what is to be done comes out, in order, as effects:

    state    event                                     becomes   effects
    any      stop, or link lost                        INIT      if it was master: bow out, release
    INIT     start, or link back                       BACKUP    arm master-down
    BACKUP   master-down fires                         MASTER    advertise, take, announce
    BACKUP   preempt, and the sender's interval        MASTER    the same
             is longer than ours
    BACKUP   the sender bows out, is too slow, or      MASTER    the same, after advskew x 100 us
             has a higher demotion counter
    BACKUP   any other valid advertisement             BACKUP    re-arm
    MASTER   timer                                     MASTER    renew, advertise
    MASTER   the sender's interval is shorter; or      BACKUP    release, and advertise a last time, so that
             equal and its address lower                         the other one announces itself again
    MASTER   any other valid advertisement             MASTER    renew, advertise, announce
    MASTER   lease missed                              BACKUP    release

Two rules keep this file honest: only this class changes `state`, and nothing here knows a clock, a socket or an
address of the group. Sources: OpenBSD's ip_carp.c (carp_proto_input_c, carp_setrun), FreeBSD's for the demotion,
ucarp 1.5.2's carp.c. Where two masters meet, a third node may hear the loser's last words: a backup therefore
takes over from the master that it follows, and from no other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum

from carpsidecar.protocol.packet import IPAddress
from carpsidecar.protocol.timing import (
    ADVSKEW_DEMOTED,
    BOW_OUT_ADVBASE,
    BOW_OUT_ADVSKEW,
    TICKS_PER_S,
    demoted_advskew,
    interval_ticks,
    lease_lifetime_s,
    master_down_ticks,
)

SEND_ERRORS_MAX = 3
"""Failed advertisements in a row that demote, and good ones in a row that undo it (CARP_SENDAD_MAX_ERRORS)."""

TAKEOVER_WAIT_PER_ADVSKEW_S = 100e-6
RENEWAL_AGE_MAX = 0.75
"""The part of its lifetime that a lease may be old: Linux drops an address as early as after 0.9 of it."""

REPLY_GAP_MIN_S = 1 / TICKS_PER_S
"""A master answers a rival at once, but never more often than the fastest CARP advertises.

To advertise and to announce have a gap each: a rival's last words follow our advertisement by less, and are to make
us announce.
"""


class State(StrEnum):
    INIT = "init"
    BACKUP = "backup"
    MASTER = "master"


class Reason(StrEnum):
    """Why the state changed, as people read it."""

    STARTED = "started"
    LINK_BACK = "the link is back"
    MASTER_SILENT = "no advertisement from the master"
    PREEMPTED = "preempting a slower master"
    MASTER_BOWED_OUT = "the master bowed out"
    MASTER_TOO_SLOW = "the master advertises too slowly"
    MASTER_DEMOTED = "the master is demoted"
    BETTER_MASTER = "a better master advertises"
    LEASE_MISSED = "the lease ran out before it was renewed"
    LINK_LOST = "the link is lost"
    DEMOTED = "demoted"
    ASKED = "asked to step back"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a group advertises: advbase in seconds, advskew in 1/256 s, patience in advertisements."""

    advbase: int = 1
    advskew: int = 0
    dead_ratio: int = 3
    preempt: bool = False


@dataclass(frozen=True, slots=True)
class Advertise:
    """Send an advertisement that says this."""

    advbase: int
    advskew: int


@dataclass(frozen=True, slots=True)
class Become:
    """The state is now this one. Always the last effect: what it stands for has been done."""

    state: State
    reason: Reason
    peer: IPAddress | None = None


class Addresses(Enum):
    """Do this with the group's addresses."""

    TAKE = "take"
    RENEW = "renew"
    RELEASE = "release"
    ANNOUNCE = "announce"


Effect = Advertise | Become | Addresses
Effects = Sequence[Effect]

BOW_OUT = Advertise(BOW_OUT_ADVBASE, BOW_OUT_ADVSKEW)


class Election:
    """One group's state. Times are seconds of one monotonic clock.

    Args:
        settings: what to advertise; may be replaced while running, through `configure`.
        source: our own address in advertisements, for the tie-break.
    """

    def __init__(self, settings: Settings, source: IPAddress) -> None:
        self.settings = settings
        self.source = source
        self.state = State.INIT
        self.reason = Reason.STOPPED
        self.demotion = 0
        self.lease_until = 0.0
        self._running = False
        self._link_up = False
        self._advertise_at: float | None = None
        self._renew_at: float | None = None
        self._master_down_at: float | None = None
        self._takeover_reason = Reason.MASTER_SILENT
        self._followed: dict[int, IPAddress] = {}
        self._advertised_at = float("-inf")
        self._announced_at = float("-inf")
        self._patience_until = 0.0
        self._send_errors = 0
        self._send_successes = 0
        self._stepped_back = False

    # What is advertised, and how long things take.

    @property
    def advskew(self) -> int:
        """The advskew that we advertise and compare: the configured one and every demotion."""
        demotion = self.demotion + (ADVSKEW_DEMOTED if self.send_failing else 0)
        return demoted_advskew(self.settings.advskew, demotion)

    @property
    def send_failing(self) -> bool:
        """Whether advertisements fail to leave, which demotes."""
        return self._send_errors >= SEND_ERRORS_MAX

    @property
    def interval_s(self) -> float:
        return self._interval_ticks / TICKS_PER_S

    @property
    def master_down_s(self) -> float:
        return self._master_down_ticks / TICKS_PER_S

    @property
    def lifetime_s(self) -> int:
        """The valid lifetime with which the kernel is to hold the addresses."""
        return lease_lifetime_s(self.settings.advbase, self.settings.advskew, self.settings.dead_ratio)

    @property
    def deadline(self) -> float | None:
        """When `timer_expired` wants to be called."""
        deadlines = (self._advertise_at, self._renew_at, self._master_down_at)
        return min((at for at in deadlines if at is not None), default=None)

    @property
    def _interval_ticks(self) -> int:
        return interval_ticks(self.settings.advbase, self.advskew)

    @property
    def _master_down_ticks(self) -> int:
        return master_down_ticks(self.settings.advbase, self.advskew, self.settings.dead_ratio)

    # Events.

    def start(self, now: float, link_up: bool) -> Effects:
        self._running = True
        self._link_up = link_up
        return self._become_backup(now, Reason.STARTED) if link_up else ()

    def stop(self, now: float) -> Effects:
        self._running = False
        return self._become_init(Reason.STOPPED)

    def link_changed(self, now: float, up: bool) -> Effects:
        if up == self._link_up:
            return ()
        self._link_up = up
        self._send_errors = 0
        if not self._running:
            return ()
        return self._become_backup(now, Reason.LINK_BACK) if up else self._become_init(Reason.LINK_LOST)

    def advertisement_received(
        self, now: float, advbase: int, advskew: int, demotion: int, source: IPAddress
    ) -> Effects:
        """A valid advertisement of this group came from `source`; `demotion` is its byte 4."""
        theirs = interval_ticks(advbase, advskew)
        if self.state is State.MASTER:
            if now >= self.lease_until:
                return self.lease_missed(now)
            return self._heard_as_master(now, theirs, demotion, source)
        if self.state is State.BACKUP:
            bows_out = (advbase, advskew) == (BOW_OUT_ADVBASE, BOW_OUT_ADVSKEW)
            return self._heard_as_backup(now, theirs, demotion, source, bows_out)
        return ()

    def timer_expired(self, now: float) -> Effects:
        """Harmless when it comes early."""
        if self.state is State.BACKUP and self._master_down_at is not None and now >= self._master_down_at:
            return self._become_master(now, self._takeover_reason)
        if self.state is State.MASTER:
            advertise_at, renew_at = self._advertise_at, self._renew_at
            if advertise_at is not None and now >= advertise_at:
                return self._advertise(now)
            if advertise_at is not None and renew_at is not None and now >= renew_at:
                return self._renew(now, advertise_at)
        return ()

    def lease_missed(self, now: float) -> Effects:
        """The kernel may have dropped our addresses, or a backup may have lost its patience with us."""
        if self.state is not State.MASTER:
            return ()
        return (Addresses.RELEASE, *self._become_backup(now, Reason.LEASE_MISSED))

    def demotion_changed(self, now: float, demotion: int) -> Effects:
        """Advertise more skew, or less; at once, so that a better backup need not wait."""
        before = self.advskew
        self.demotion = demotion
        self._wait_no_longer_than_now(now)
        return self._advertise(now) if self.advskew != before else ()

    def configure(self, now: float, settings: Settings) -> Effects:
        """Go on with other settings, in the same state."""
        self.settings = settings
        self._send_errors = 0
        self._wait_no_longer_than_now(now)
        return self._advertise(now)

    def step_back(self, now: float, reason: Reason) -> Effects:
        """Hand over to a backup: because this node can't serve (DEMOTED), or because somebody ASKED.

        Asked to, it does not preempt whoever took over, and takes over again only when that one goes.
        """
        self._stepped_back = reason is Reason.ASKED
        if self.state is not State.MASTER:
            return ()
        return (BOW_OUT, Addresses.RELEASE, *self._become_backup(now, reason))

    def advertisement_sent(self, ok: bool) -> None:
        """Three failures in a row demote; then it takes three good ones in a row to undo that.

        A backup sends none, so it stays demoted until it is master again, or its link or settings change.
        """
        if not ok:
            self._send_errors += 1
            self._send_successes = 0
        elif self.send_failing:
            self._send_successes += 1
            if self._send_successes >= SEND_ERRORS_MAX:
                self._send_errors = 0
        else:
            self._send_errors = 0

    # What follows from them.

    def _heard_as_master(self, now: float, theirs: int, demotion: int, source: IPAddress) -> Effects:
        ours = self._interval_ticks
        # In a group of both families only our own source's family breaks a tie: else two masters could each
        # find the other one's address lower, and both yield.
        lower = source.version == self.source.version and source.packed < self.source.packed
        if demotion == 0 and (theirs < ours or (theirs == ours and lower)):
            farewell = self._advertisement(now)
            return (
                Addresses.RELEASE,
                farewell,
                *self._become_backup(now, Reason.BETTER_MASTER, source),
            )
        replies = now - self._advertised_at >= REPLY_GAP_MIN_S
        announces = now - self._announced_at >= REPLY_GAP_MIN_S
        if announces:
            self._announced_at = now
        return (
            *(self._advertise(now) if replies else ()),
            *((Addresses.ANNOUNCE,) if announces else ()),
        )

    def _heard_as_backup(
        self, now: float, theirs: int, demotion: int, source: IPAddress, bows_out: bool
    ) -> Effects:
        preempts = self.settings.preempt and not self._stepped_back and theirs > self._interval_ticks
        leaves = bows_out or demotion > 0 or theirs > self._master_down_ticks
        # Following a master in one family, it has no ear for strangers in the other either.
        if (preempts or leaves) and self._followed and self._followed.get(source.version) != source:
            return ()
        if leaves:
            self._followed.pop(source.version, None)
            wait_until = now + self.advskew * TAKEOVER_WAIT_PER_ADVSKEW_S
            if self._master_down_at is None or wait_until < self._master_down_at:
                self._master_down_at = wait_until
                self._takeover_reason = (
                    Reason.MASTER_BOWED_OUT
                    if bows_out
                    else Reason.MASTER_DEMOTED
                    if demotion > 0
                    else Reason.MASTER_TOO_SLOW
                )
            return ()
        if preempts:
            return self._become_master(now, Reason.PREEMPTED, source)
        self._followed[source.version] = source
        self._arm_master_down(now)
        return ()

    def _become_init(self, reason: Reason) -> Effects:
        was_master = self.state is State.MASTER
        if self.state is State.INIT:
            return ()
        self._enter(State.INIT, reason)
        became = Become(State.INIT, reason)
        return (BOW_OUT, Addresses.RELEASE, became) if was_master else (became,)

    def _become_backup(self, now: float, reason: Reason, peer: IPAddress | None = None) -> Effects:
        self._enter(State.BACKUP, reason)
        if peer is not None:
            self._followed[peer.version] = peer
        self._arm_master_down(now)
        return (Become(State.BACKUP, reason, peer),)

    def _become_master(self, now: float, reason: Reason, peer: IPAddress | None = None) -> Effects:
        self._enter(State.MASTER, reason)
        self._stepped_back = False
        self._announced_at = now
        return (
            self._advertisement(now),
            Addresses.TAKE,
            Addresses.ANNOUNCE,
            Become(State.MASTER, reason, peer),
        )

    def _enter(self, state: State, reason: Reason) -> None:
        self.state = state
        self.reason = reason
        self._advertise_at = self._renew_at = self._master_down_at = None
        self._followed.clear()

    def _arm_master_down(self, now: float) -> None:
        self._master_down_at = now + self.master_down_s
        self._takeover_reason = Reason.MASTER_SILENT

    def _wait_no_longer_than_now(self, now: float) -> None:
        """A backup that is well again, or set to be faster, loses the patience that it had before."""
        if self._master_down_at is not None:
            self._master_down_at = min(self._master_down_at, now + self.master_down_s)

    def _advertise(self, now: float) -> Effects:
        if self.state is not State.MASTER:
            return ()
        if now >= self.lease_until:
            return self.lease_missed(now)
        return (Addresses.RENEW, self._advertisement(now))

    def _advertisement(self, now: float) -> Advertise:
        self._advertised_at = now
        self._advertise_at = now + self.interval_s
        self._patience_until = now + self.master_down_s
        self._lease(now, self._advertise_at)
        return Advertise(self.settings.advbase, self.advskew)

    def _renew(self, now: float, advertise_at: float) -> Effects:
        if now >= self.lease_until:
            return self.lease_missed(now)
        self._lease(now, advertise_at)
        return (Addresses.RENEW,)

    def _lease(self, now: float, advertise_at: float) -> None:
        """Until the kernel's lifetime ends, or the backups' patience, where that is shorter."""
        self.lease_until = min(now + self.lifetime_s, self._patience_until)
        # The backups' patience counts from our advertisement, the lease from its renewal, so one between two
        # advertisements brings the lease's end closer to their takeover. It comes only where the lease would not
        # last until the next advertisement, and then as early as will do.
        age_max_s = RENEWAL_AGE_MAX * self.lifetime_s
        needed = now + age_max_s < advertise_at
        self._renew_at = min(now + age_max_s, advertise_at - age_max_s) if needed else None
