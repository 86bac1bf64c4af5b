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
    BACKUP   an advertisement is overdue, and nobody   MASTER    the same
             answers for the address any more
    BACKUP   promoted by hand, and able to be faster   MASTER    the same, faster than the master that it heard,
             than the master                                     for as long as it is one
    BACKUP   any other valid advertisement             BACKUP    re-arm
    BACKUP   stalled: was not run for a while          BACKUP    arm master-down for an interval at least
    MASTER   timer                                     MASTER    advertise, renew
    MASTER   the sender's interval is shorter          BACKUP    release, and advertise a last time, so that
                                                                 the other one announces itself again
    MASTER   it is equal, and its address lower        BACKUP    release, in silence
    MASTER   any other valid advertisement             MASTER    advertise, renew, announce
    MASTER   lease missed                              BACKUP    release

A master renews with its advertisements where the lease is not young, and between two where it would not last.

Two rules keep this file honest: only this class changes `state`, and nothing here knows a clock, a socket or an
address of the group. Sources: OpenBSD's ip_carp.c (carp_proto_input_c, carp_setrun), FreeBSD's for the demotion,
ucarp 1.5.2's carp.c. Where two masters meet, a third node may hear the loser's farewell: a backup therefore
takes over from the master that it follows, and from no other.
"""

from carpsidecar.protocol.effects import (
    BOW_OUT,
    Addresses,
    Become,
    Effect,
    Effects,
    PromotionBlocker,
    Reason,
    Settings,
    State,
)
from carpsidecar.protocol.pace import Pace
from carpsidecar.protocol.packet import IPAddress
from carpsidecar.protocol.timetable import NEVER
from carpsidecar.protocol.timing import (
    BOW_OUT_ADVBASE,
    BOW_OUT_ADVSKEW,
    TICKS_PER_S,
    interval_ticks,
)

START_S = 0.25
"""Two solicitations and the answers to them, where whoever starts need not wait for a silent master."""
TAKEOVER_WAIT_PER_ADVSKEW_S = 100e-6
MISSED_MAX = 3


class Election(Pace):
    """One group's state. Times are seconds of one monotonic clock.

    Args:
        settings: what to advertise; may be replaced while running, through `configure`.
        source: our own address in advertisements, for the tie-break.
    """

    def __init__(self, settings: Settings, source: IPAddress) -> None:
        super().__init__(settings)
        self.source = source
        self.state = State.INIT
        self.reason = Reason.STOPPED
        self.may_preempt = True
        """To be False where this node could not serve: it would take over with each advertisement, and fail."""
        self._running = False
        self._link_up = False
        self._master_down_at = NEVER
        self._missed = 0
        """How often the master was given time because of what could not be read, since it was heard."""
        self._takeover_reason = Reason.MASTER_SILENT
        self._followed: dict[int, IPAddress] = {}
        self._followed_ticks: int | None = None
        """The interval of the master that is followed."""
        self._stepped_down = False

    # What is to come, and what is possible.

    @property
    def promotion_blocker(self) -> PromotionBlocker | None:
        """Why `promote` would do nothing; None where this node is, or can become, master."""
        return self.promotion_blocker_at(self.demotion)

    def promotion_blocker_at(self, demotion: int) -> PromotionBlocker | None:
        """The same with another demotion."""
        if self.state is State.INIT:
            return PromotionBlocker.INIT
        if self.state is State.MASTER:
            return None
        if demotion:
            return PromotionBlocker.DEMOTED
        return PromotionBlocker.SLOWER if self._winning_advskew is None else None

    @property
    def waits_for_silent_master(self) -> bool:
        """Whether its takeover, when it is due, follows from silence alone."""
        return self.state is State.BACKUP and self._takeover_reason is Reason.MASTER_SILENT

    @property
    def deadline(self) -> float | None:
        """When `timer_expired` wants to be called."""
        deadline = min(self._term.next, self._master_down_at)
        return None if deadline == NEVER else deadline

    @property
    def _winning_advskew(self) -> int | None:
        if self._followed_ticks is None:
            return self.settings.advskew
        master = self._followed.get(self.source.version)
        wins_ties = master is not None and self.source.packed < master.packed
        return self._advskew_that_wins(self._followed_ticks, wins_ties)

    # Events.

    def start(self, now: float, link_up: bool) -> Effects:
        self._running = True
        self._link_up = link_up
        return self._begin(now, Reason.STARTED) if link_up else ()

    def stop(self, now: float) -> Effects:
        self._running = False
        return self._become_init(now, Reason.STOPPED)

    def link_changed(self, now: float, up: bool) -> Effects:
        if up == self._link_up:
            return ()
        self._link_up = up
        if not self._running:
            return ()
        return self._begin(now, Reason.LINK_BACK) if up else self._become_init(now, Reason.LINK_LOST)

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
        if self.state is State.BACKUP and now >= self._master_down_at:
            return self._become_master(now, self._takeover_reason)
        if self.state is State.MASTER:
            if now >= self._term.advertise_at:
                return self._advertise(now)
            return self._between_advertisements(now)
        return ()

    def stalled(self, now: float) -> Effects:
        """Nothing was heard, but that may be this node's fault: give the master an interval to be heard in."""
        if self.state is State.BACKUP:
            self._master_down_at = max(self._master_down_at, now + self.interval_s)
        return ()

    def advertisements_missed(self, now: float) -> Effects:
        """As stalled, but a few times at most: who floods this node is not to keep the address from ever moving."""
        if self._missed < MISSED_MAX and now + self.interval_s > self._master_down_at:
            self._missed += 1
            return self.stalled(now)
        return ()

    def flooded(self, now: float) -> None:
        """More arrives than can be read: a master says more often that it is there."""
        if self.state is State.MASTER:
            self._term.flooded(now)

    def put_back(self, now: float) -> None:
        """The addresses of this master are added again: their lease counts from now on."""
        self._lease(now)

    def master_gone(self, now: float) -> Effects:
        """The master is silent, and nobody answers for the address any more: it need not be waited for."""
        if self.state is State.BACKUP:
            self._await_turn(now, Reason.MASTER_GONE)
        return ()

    def address_in_use(self, now: float, again_s: float) -> Effects:
        """A machine that is no member has the address: it is not taken, or given back; again after so long."""
        given_back: Effects = ()
        if self.state is State.MASTER:
            given_back = (Addresses.RELEASE, *self._become_backup(now, Reason.ADDRESS_IN_USE))
        if self.state is State.BACKUP:
            self._arm_master_down(now)
            self._master_down_at = now + again_s
        return given_back

    def follows(self, source: IPAddress) -> bool:
        """Whether this backup waits for advertisements of this master."""
        return self.state is State.BACKUP and self._followed.get(source.version) == source

    def is_better(self, theirs: int, source: IPAddress) -> bool:
        """Whether who advertises in this interval, in ticks, is a better master: faster, or as fast and lower."""
        ours = self._interval_ticks
        # In a group of both families only our own source's family breaks a tie: else two masters could each
        # find the other one's address lower, and both yield.
        lower = source.version == self.source.version and source.packed < self.source.packed
        return theirs < ours or (theirs == ours and lower)

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
        self._wait_no_longer_than_now(now)
        return self._advertise(now, renews=True)

    def step_down(self, now: float, reason: Reason) -> Effects:
        """Hand over to a backup: because this node can't serve (DEMOTED), or because somebody asked (STEP_DOWN).

        Asked to, it does not preempt whoever took over, and takes over again only when that one goes.
        """
        self._stepped_down = reason is Reason.STEP_DOWN
        if self.state is not State.MASTER:
            return ()
        return (BOW_OUT, Addresses.RELEASE, *self._become_backup(now, reason))

    def promote(self, now: float) -> Effects:
        """Take over from whoever is master, and stay faster than it, because somebody asked.

        That lasts until this node is no longer master. Nothing happens where there is a `promotion_blocker`.
        """
        if self.state is not State.BACKUP or self.promotion_blocker is not None:
            return ()
        advskew, master = self._winning_advskew, next(iter(self._followed.values()), None)
        return self._become_master(now, Reason.PROMOTED, master, advskew)

    # What follows from them.

    def _heard_as_master(self, now: float, theirs: int, demotion: int, source: IPAddress) -> Effects:
        if demotion <= self.demotion and self.is_better(theirs, source):
            # A BSD yields to an equal interval whoever has the lower address: to our farewell too.
            farewell = (self._advertisement(now),) if theirs < self._interval_ticks else ()
            became = self._become_backup(now, Reason.BETTER_MASTER, source)
            self._followed_ticks = theirs
            return (Addresses.RELEASE, *farewell, *became)
        advertised = self._advertise(now) if self._term.may_reply(now) else ()
        return (*advertised, Addresses.ANNOUNCE) if self._term.may_announce(now) else advertised

    def _heard_as_backup(
        self, now: float, theirs: int, demotion: int, source: IPAddress, bows_out: bool
    ) -> Effects:
        may_preempt = self.settings.preempt and self.may_preempt and not self._stepped_down
        preempts = may_preempt and theirs > self._interval_ticks
        outweighs = demotion > self.demotion
        leaves = bows_out or outweighs or theirs > self._master_down_ticks
        # Following a master in one family, it has no ear for strangers in the other either.
        if (preempts or leaves) and self._followed and self._followed.get(source.version) != source:
            return ()
        if leaves:
            self._followed.pop(source.version, None)
            self._followed_ticks = None
            demoted = Reason.MASTER_DEMOTED if outweighs else Reason.MASTER_TOO_SLOW
            self._await_turn(now, Reason.MASTER_BOWED_OUT if bows_out else demoted)
            return ()
        if preempts:
            return self._become_master(now, Reason.PREEMPTED, source)
        self._followed[source.version] = source
        self._followed_ticks = theirs
        self._arm_master_down(now)
        return ()

    def _await_turn(self, now: float, reason: Reason) -> None:
        """The master is gone or going: the preferred backups go first."""
        wait_until = now + self.advskew * TAKEOVER_WAIT_PER_ADVSKEW_S
        if wait_until < self._master_down_at:
            self._master_down_at = wait_until
            self._takeover_reason = reason

    def _begin(self, now: float, reason: Reason) -> Effects:
        effects = self._become_backup(now, reason)
        if self.settings.starts_soon:
            soon = now + START_S + self.advskew / TICKS_PER_S
            self._master_down_at = min(self._master_down_at, soon)
        return effects

    def _become_init(self, now: float, reason: Reason) -> Effects:
        was_master = self.state is State.MASTER
        if self.state is State.INIT:
            return ()
        self._enter(State.INIT, reason, now)
        became = Become(State.INIT, reason)
        return (BOW_OUT, Addresses.RELEASE, became) if was_master else (became,)

    def _become_backup(self, now: float, reason: Reason, peer: IPAddress | None = None) -> Effects:
        self._enter(State.BACKUP, reason, now)
        if peer is not None:
            self._followed[peer.version] = peer
        self._arm_master_down(now)
        return (Become(State.BACKUP, reason, peer),)

    def _become_master(
        self, now: float, reason: Reason, peer: IPAddress | None = None, promoted_advskew: int | None = None
    ) -> Effects:
        refreshes = reason in (Reason.MASTER_SILENT, Reason.MASTER_GONE) and bool(self._followed)
        self._enter(State.MASTER, reason, now)
        self._promoted_advskew = promoted_advskew
        self._stepped_down = False
        advertisement = self._advertisement(now)
        self._lease(now)
        if refreshes:
            self._term.refresh(now, after_silence=True)
        return (
            advertisement,
            Addresses.TAKE,
            Addresses.ANNOUNCE,
            Become(State.MASTER, reason, peer),
        )

    def _enter(self, state: State, reason: Reason, now: float) -> None:
        self.state = state
        self.reason = reason
        self._begin_term(now)
        self._master_down_at = NEVER
        self._followed.clear()
        self._followed_ticks = self._promoted_advskew = None

    def _arm_master_down(self, now: float) -> None:
        self._missed = 0
        self._master_down_at = now + self.master_down_s
        self._takeover_reason = Reason.MASTER_SILENT

    def _wait_no_longer_than_now(self, now: float) -> None:
        """A backup that is well again, or set to be faster, loses the patience that it had before."""
        if self._master_down_at != NEVER:
            self._master_down_at = min(self._master_down_at, now + self.master_down_s)

    def _advertise(self, now: float, renews: bool = False) -> Effects:
        if self.state is not State.MASTER:
            return ()
        if now >= self.lease_until:
            return self.lease_missed(now)
        advertisement = self._advertisement(now)
        if renews or self._term.renews_with_advertisement(now):
            self._lease(now)
            return (advertisement, Addresses.RENEW)
        return (advertisement,)

    def _between_advertisements(self, now: float) -> Effects:
        renews, refreshes = now >= self._term.renew_at, now >= self._term.refresh_at
        if (renews or refreshes) and now >= self.lease_until:
            return self.lease_missed(now)
        effects: list[Effect] = []
        if refreshes:
            effects.append(self._refresh(now))
        if renews:
            self._lease(now)
            effects.append(Addresses.RENEW)
        return tuple(effects)
