"""One vhid on one node: everything that decides, and nothing that does.

Events go in with the time at which they happened; actions come out of `next_action`, in order; `deadline` says when
`timer_expired` wants to be called. Feed an event, drain the actions, arm the timer: the outcome of an action is an
event too, fed before the next action is taken. The member owns its queue: what an event made obsolete is dropped
from it, so that whoever performs the actions never needs to ask whether the state changed under him.

The election is `protocol.election`, and says who should be master. This adds what is true of this node: whether its
advertisements leave, whether its kernel holds the addresses and until when, whether it was run at all, what demotes
it and which groups move with it. Nothing here knows a clock, a socket or an address of the group.
"""

from collections import deque
from collections.abc import Collection

from carpsidecar.member.actions import (
    Action,
    AddAddresses,
    AddressesFailed,
    AddressesLost,
    Announce,
    AskForAddresses,
    Degraded,
    DemotionChanged,
    LeaseRequest,
    Notification,
    RemoveAddresses,
    RenewAddresses,
    Role,
    RoleChanged,
    Stalled,
    StatusChanged,
    TryAdding,
    TrySending,
    Waiting,
)
from carpsidecar.member.claim_guard import AGAIN_AFTER_S, Holder
from carpsidecar.member.demotions import ADDRESSES, SENDING, SYNC, Demotions, is_own
from carpsidecar.member.lease import Lease
from carpsidecar.member.recovery import NEVER, Recovery
from carpsidecar.member.takeover import Step, Takeover
from carpsidecar.protocol.effects import (
    BOW_OUT,
    Addresses,
    Advertise,
    Become,
    Effects,
    PromotionBlocker,
    Reason,
    Settings,
    State,
)
from carpsidecar.protocol.election import Election
from carpsidecar.protocol.packet import IPAddress
from carpsidecar.protocol.timing import ADVSKEW_DEMOTED, BOW_OUT_ADVBASE, TICKS_PER_S, interval_ticks

_BY_COMMAND = (Reason.STEP_DOWN, Reason.DEMOTED, Reason.PROMOTED)
"""Reasons that a command may have given words for."""


class Member:
    """Times are seconds of one monotonic clock.

    Args:
        vhid: so that many groups do not ask at the same moment.
    """

    def __init__(self, settings: Settings, source: IPAddress, vhid: int = 0) -> None:
        self.election = Election(settings, source)
        self.takeover = Takeover(self.election, vhid)
        self.lease = Lease()
        self.demotions = Demotions()
        self.recovery = {SENDING: Recovery(), ADDRESSES: Recovery()}
        self.trouble = ""
        """Why it can't take part in the election; empty where it can."""
        self.role_withheld: Role | None = None
        """Shown while trouble that is none of this node's own keeps it from taking part."""
        self.strays: frozenset[IPAddress] = frozenset()
        """Addresses of the group that this node has while it is a backup: somebody else added them."""
        self._was_ready = False
        self._queue: deque[Action] = deque()
        self._stall_check_at: float | None = None
        self._shown = State.INIT
        self._refused = ""
        """Why the address was not taken when it was last reported."""
        self._text = ""
        """The words of the command that led to the present state."""
        self._heard_master: IPAddress | None = None
        self._degraded = False

    # What it is.

    @property
    def state(self) -> State:
        return self.election.state

    @property
    def is_master(self) -> bool:
        return self.election.state is State.MASTER

    @property
    def role(self) -> Role:
        if self.state is State.MASTER:
            return "master"
        if self.state is State.BACKUP:
            return "fault" if self.holder or self.strays else "backup"
        if self.trouble and self.role_withheld is not None:
            return self.role_withheld
        return "fault" if self._was_ready and self.trouble else "init"

    @property
    def reason(self) -> str:
        reason = str(self.election.reason)
        if self.holder is not None:
            return f"{self.holder.address} is in use by {self.holder.mac.hex(':')}"
        if self.strays:
            names = ", ".join(sorted(map(str, self.strays)))
            return f"{names} is on this node, which is not master: somebody added it, take it off"
        return self.trouble or (f"{reason}: {self._text}" if self._text else reason)

    @property
    def degraded(self) -> bool:
        """Whether the groups that move with this one should hand over."""
        blocked = bool(self.trouble) or self.holder is not None
        return blocked or any(cause in self.demotions.amounts for cause in self.recovery)

    @property
    def master(self) -> IPAddress | None:
        """The address that the master advertises from, as far as it was heard or is our own."""
        return self.election.source if self.is_master else self._heard_master

    @property
    def holder(self) -> Holder | None:
        """The machine, no member, for whose sake the addresses are not taken."""
        return self.takeover.guard.holder

    @property
    def promotion_blocker(self) -> PromotionBlocker | None:
        """Why `promote` would do nothing; None where this node is, or can become, master.

        What was concluded from a failure does not block: it is taken back, and tried.
        """
        if self.holder is not None:
            return PromotionBlocker.IN_USE
        return self.election.promotion_blocker_at(self.demotions.by_command)

    @property
    def deadline(self) -> float | None:
        """When `timer_expired` wants to be called."""
        deadline = self.takeover.deadline
        if not self.takeover.under_way:
            election = self.election.deadline if self._stall_check_at is None else self._stall_check_at
            deadline = min(deadline, NEVER if election is None else election)
        if self.state is State.BACKUP:
            deadline = min(deadline, *(recovery.due_at for recovery in self.recovery.values()))
        return None if deadline == NEVER else deadline

    # Actions.

    def next_action(self, now: float) -> Action | None:
        """Take the next action; `now` is when it is about to be performed."""
        if not self._queue:
            return None
        overtaken = self.is_master and self.lease.may_be_overtaken(now)
        if overtaken and isinstance(self._queue[0], Advertise | RenewAddresses):
            # Stopped between the event and this: to speak or to hold on now could make two masters.
            self._miss_lease(now)
        return self._queue.popleft()

    def sent(self, now: float, advertisement: Advertise, ok: bool) -> None:
        """An advertisement left, or could not."""
        if self.is_master:
            self.lease.backups_wait_until = self.election.patience_until
        if advertisement == BOW_OUT:
            return
        if self.demotions.sending_fails(ok):
            self.demote(now, SENDING, ADVSKEW_DEMOTED, text="advertisements can't be sent")
        else:
            self.demote(now, SENDING, 0)

    def lease_confirmed(self, now: float, request: LeaseRequest) -> None:
        """The kernel holds the addresses as requested."""
        if not self.lease.answered(request):
            return
        if isinstance(request, RenewAddresses) and self.lease.may_be_overtaken(now):
            self._miss_lease(now)
            return
        due_again = self.lease.due_again
        self.lease.confirm(request)
        if self.lease.may_be_overtaken(now):
            # Stopped before the kernel answered.
            self._miss_lease(now)
        elif isinstance(request, AddAddresses):
            self.demote(now, ADDRESSES, 0)
        elif due_again:
            self._renew(now)

    def lease_failed(self, now: float, request: LeaseRequest, error: OSError) -> None:
        """The kernel refused, or there is no interface."""
        if not self.lease.answered(request):
            return
        self._drop_obsolete()
        self._queue.append(AddressesFailed(error))
        text = error.strerror or str(error)
        if ADDRESSES in self.demotions.amounts:
            self._apply(now, self.election.step_down(now, Reason.DEMOTED), text)
        self.demote(now, ADDRESSES, ADVSKEW_DEMOTED, bow_out=True, text=text)

    def tried(self, now: float, attempt: TrySending | TryAdding, ok: bool) -> None:
        """What failed was tried by itself. Where that went well, it no longer demotes."""
        if ok:
            self.demote(now, SENDING if isinstance(attempt, TrySending) else ADDRESSES, 0)

    # Events.

    def start(self, now: float, trouble: str) -> None:
        """`trouble` is why it can't take part in the election; empty where it can."""
        self.trouble = trouble
        self._was_ready = not trouble
        if trouble:
            self._queue.append(Waiting(trouble, at_start=True))
        self._apply(now, self.election.start(now, link_up=not trouble))
        self._status_changed()

    def stop(self, now: float) -> None:
        self._apply(now, self.election.stop(now))

    def link_changed(self, now: float, trouble: str) -> None:
        """The link, or the addresses to send from, are not what they were. `trouble` as in `start`."""
        before, self.trouble = self.trouble, trouble
        self._was_ready = self._was_ready or not trouble
        effects = self.election.link_changed(now, up=not trouble)
        self._apply(now, effects)
        if bool(before) != bool(trouble):
            self.demote(now, SENDING, 0)
        if trouble:
            # Most often the interface was gone already when they were added, and only now are we told.
            self.demote(now, ADDRESSES, 0)
            if trouble != before and not effects:
                self._queue.append(Waiting(trouble, at_start=False))
        self._status_changed()

    def advertisement_received(
        self, now: float, advbase: int, advskew: int, demotion: int, source: IPAddress
    ) -> None:
        """A valid advertisement of this group."""
        theirs = interval_ticks(advbase, advskew)
        leaves = demotion > self.election.demotion or advbase == BOW_OUT_ADVBASE
        if not leaves:
            self.takeover.guard.member_advertised(now, theirs / TICKS_PER_S)
        if self.state is State.BACKUP:
            if self.takeover.ignores(theirs, source, leaves):
                return
            self._heard_master = source
        self._apply(now, self.election.advertisement_received(now, advbase, advskew, demotion, source))
        if not self.election.follows(source):
            return
        self.takeover.advertised(now, theirs, source)
        if self.holder is not None:
            self._forget_holder()
            self._report_role(Reason.MASTER_HEARD, str(Reason.MASTER_HEARD), source)

    def disagreed(self, now: float, source: IPAddress) -> None:
        """A packet of another passphrase, vhid or address list came from there."""
        if self.election.follows(source):
            self.takeover.guard.disagreed(now, self.election.master_down_s)

    def address_answered(self, now: float, address: IPAddress, mac: bytes) -> None:
        """Another machine says by ARP or NDP that it has this address of ours."""
        if self.takeover.answered(now, address, mac):
            self._apply(now, self.election.address_in_use(now, AGAIN_AFTER_S))

    def address_wanted(self, now: float, rank: bytes) -> None:
        """Another machine asks for an address of ours because it is about to take it."""
        self.takeover.wanted(now, rank)

    def master_answered(self, now: float, master: IPAddress) -> None:
        """Somebody answers for an address of another group of this master."""
        if self.election.follows(master):
            self.takeover.master_answered(now)

    def timer_expired(self, now: float, missed: bool = False) -> None:
        """Harmless when it comes early. What has arrived is fed before it; `missed`: not all could be read."""
        if missed:
            self.takeover.stalled(now)
            self._apply(now, self.election.advertisements_missed(now))
        check_at = self._stall_check_at
        if check_at is not None and now >= check_at:
            self._check_for_stall(now, now - check_at)
        self._try_again(now)
        if self.state is State.BACKUP:
            self._approach_takeover(now)
        else:
            self._apply(now, self.election.timer_expired(now))
            self._try_again(now)
            if self.takeover.confirms(now):
                self._queue.append(AskForAddresses(every=True))

    def _try_again(self, now: float) -> None:
        """A master does the real thing."""
        for cause, recovery in self.recovery.items():
            if self.state is State.BACKUP and now >= recovery.due_at:
                recovery.begin(now)
                self._queue.append(TrySending() if cause == SENDING else TryAdding())

    def _approach_takeover(self, now: float) -> None:
        step = self.takeover.step(now)
        if step in (Step.ASK_SHARED, Step.ASK_FIRST, Step.ASK_ALL):
            takes = step is Step.ASK_ALL
            rank = self.takeover.guard.rank if takes else b""
            self._queue.append(AskForAddresses(every=takes, shared=step is Step.ASK_SHARED, rank=rank))
        elif step is Step.MASTER_GONE:
            self._apply(now, self.election.master_gone(now))
        elif step is Step.REFUSE:
            self._refuse_address(now)
        elif step is Step.CLAIM:
            self._queue.append(Advertise(self.election.settings.advbase, self.election.advskew))
        elif step is Step.TAKE:
            self._apply(now, self.election.timer_expired(now))

    def _refuse_address(self, now: float) -> None:
        self._apply(now, self.election.address_in_use(now, AGAIN_AFTER_S))
        if self.reason != self._refused:
            self._refused = self.reason
            self._report_role(Reason.ADDRESS_IN_USE, self.reason, None)

    def _check_for_stall(self, now: float, late_s: float) -> None:
        """An interval before it would take over: is the master silent, or was this machine paused, or too busy?"""
        self._stall_check_at = None
        if late_s > self.election.interval_s / 2:
            self._queue.append(Stalled(late_s))
            self.takeover.stalled(now)
            self._apply(now, self.election.stalled(now))

    def addresses_removed(self, now: float, lost: Collection[IPAddress]) -> None:
        """The kernel no longer holds these, and we did not let them go."""
        if not self.is_master or not lost:
            return
        if self.lease.may_be_overtaken(now):
            self._miss_lease(now)
            return
        self.election.put_back(now)
        self._queue += (
            AddressesLost(frozenset(lost)),
            self.lease.add(now, self.election.lifetime_s),
            Announce(),
        )

    def addresses_changed(self, now: float) -> None:
        """Others are configured: a master has the kernel hold what is new, and announces all."""
        if self.is_master and not self.lease.may_be_overtaken(now):
            self._queue += (self.lease.add(now, self.election.lifetime_s), Announce())

    def addresses_found(self, now: float, found: Collection[IPAddress]) -> None:
        """The kernel has these of the group's addresses. On a backup that is a fault: somebody else added them."""
        strays = frozenset(found) if self.state is State.BACKUP else frozenset()
        if strays != self.strays:
            self.strays = strays
            reason = Reason.ADDRESS_PRESENT if strays else Reason.ADDRESS_ABSENT
            self._report_role(reason, self.reason if strays else str(reason), None)

    def renew(self, now: float) -> None:
        """The kernel is to hold the addresses in another arrangement: renew them before that is due."""
        if self.is_master and not self.lease.may_be_overtaken(now):
            self._renew(now)

    def demote(self, now: float, cause: str, amount: int, bow_out: bool = False, text: str = "") -> None:
        """Advertise this much more skew for this cause; 0 takes it back. With `bow_out`, hand over at once."""
        demotions = self.demotions
        before = demotions.amounts.get(cause, 0)
        if (before, demotions.texts.get(cause, "")) == (amount, text if amount else ""):
            return
        demotions.set(now, cause, amount, text)
        if cause in self.recovery:
            self._settle_recovery(now, cause, failed=bool(amount))
        self.election.may_preempt = ADDRESSES not in demotions.amounts
        self._queue.append(DemotionChanged(cause, amount, text))
        if amount != before:
            if bow_out and amount:
                self._apply(now, self.election.step_down(now, Reason.DEMOTED), text)
            self._apply(now, self.election.demotion_changed(now, demotions.total))
        self._status_changed()

    def _settle_recovery(self, now: float, cause: str, failed: bool) -> None:
        if failed:
            self.recovery[cause].failed(now)
        else:
            self.recovery[cause].end()
            if cause == SENDING:
                self.demotions.forget_send_errors()

    def siblings_degraded(self, now: float, names: Collection[str]) -> None:
        """These groups, and no others, move with this one and can't serve."""
        causes = [SYNC + name for name in names]
        for cause in list(self.demotions.amounts):
            if cause.startswith(SYNC) and cause not in causes:
                self.demote(now, cause, 0)
        for cause in causes:
            self.demote(now, cause, ADVSKEW_DEMOTED, bow_out=True)

    def step_down(self, now: float, text: str = "") -> None:
        """Hand over to a backup, once."""
        self._apply(now, self.election.step_down(now, Reason.STEP_DOWN), text)

    def promote(self, now: float, text: str = "") -> None:
        """Take over from whoever is master, where no `promotion_blocker` is in the way."""
        if self.promotion_blocker is None:
            for cause in filter(is_own, list(self.demotions.amounts)):
                self.demote(now, cause, 0)
            self._apply(now, self.election.promote(now), text)

    def use_settings(self, now: float, settings: Settings) -> None:
        """Go on with these, in the same state."""
        if settings != self.election.settings:
            self._configure(now, settings)
            self._status_changed()

    def reconfigure(self, now: float, settings: Settings) -> None:
        """A new configuration: what failed under the old one may work now."""
        self._configure(now, settings)
        self.demote(now, ADDRESSES, 0)
        self._status_changed()

    # What follows from them.

    def _configure(self, now: float, settings: Settings) -> None:
        self._apply(now, self.election.configure(now, settings))
        self.demote(now, SENDING, 0)

    def _miss_lease(self, now: float) -> None:
        self._drop_obsolete()
        self._apply(now, self.election.lease_missed(now))

    def _drop_obsolete(self) -> None:
        """What was to be done as master, and is not: nobody hears of a takeover that failed."""
        kept = (a for a in self._queue if isinstance(a, Notification) and not isinstance(a, RoleChanged))
        self._queue = deque(kept)

    def _apply(self, now: float, effects: Effects, text: str = "") -> None:
        for effect in effects:
            if isinstance(effect, Advertise):
                self._queue.append(effect)
            elif isinstance(effect, Become):
                self._became(effect, text)
            elif effect is Addresses.TAKE:
                self._queue.append(self.lease.add(now, self.election.lifetime_s))
            elif effect is Addresses.RENEW:
                self._renew(now)
            elif effect is Addresses.RELEASE:
                self.lease.end()
                self._queue.append(RemoveAddresses())
            else:
                self._queue.append(Announce())
        self.takeover.settle(now)
        self._arm_stall_check(now)
        self._report_degraded()

    def _forget_holder(self) -> None:
        self.takeover.guard.holder = None
        self._refused = ""

    def _report_role(self, reason: Reason, text: str, peer: IPAddress | None) -> None:
        """What a backup is called changed, though it stays one."""
        self._queue.append(RoleChanged(self.role, reason, text, peer, was_master=False))
        self._status_changed()

    def _renew(self, now: float) -> None:
        renewal = self.lease.renew(now, self.election.lifetime_s)
        if renewal is not None:
            self._queue.append(renewal)

    def _became(self, became: Become, text: str) -> None:
        was_master, self._shown = self._shown is State.MASTER, became.state
        if became.reason is Reason.ADDRESS_IN_USE:
            self._refused = self.reason
        else:
            self._forget_holder()
        self.strays = frozenset()
        self._text = text if became.reason in _BY_COMMAND else ""
        self._heard_master = became.peer if became.state is State.BACKUP else None
        self._queue.append(RoleChanged(self.role, became.reason, self.reason, became.peer, was_master))
        self._status_changed()

    def _arm_stall_check(self, now: float) -> None:
        """A backup is to be woken once before it takes over: late then, it was not run itself."""
        self._stall_check_at = None
        if self.state is State.BACKUP:
            deadline = self.election.deadline
            if deadline is not None and deadline - self.election.interval_s > now:
                self._stall_check_at = deadline - self.election.interval_s

    def _status_changed(self) -> None:
        if not self._queue or not isinstance(self._queue[-1], StatusChanged):
            self._queue.append(StatusChanged())
        self._report_degraded()

    def _report_degraded(self) -> None:
        if self.degraded != self._degraded:
            self._degraded = self.degraded
            self._queue += (StatusChanged(), Degraded(self._degraded))
