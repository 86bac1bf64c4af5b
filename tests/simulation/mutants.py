"""Members with one mistake each, made before by somebody or easily made: the simulator must see every one."""

from collections.abc import Callable

from msgspec.structs import replace

from carpsidecar.member.actions import Action, LeaseRequest, TryAdding, TrySending
from carpsidecar.member.claim_guard import ClaimGuard
from carpsidecar.member.member import Member
from carpsidecar.member.probe import Probe
from carpsidecar.member.takeover import Takeover
from carpsidecar.protocol.effects import (
    BOW_OUT,
    Addresses,
    Advertise,
    Become,
    Effect,
    Effects,
    Reason,
    Settings,
)
from carpsidecar.protocol.election import Election
from carpsidecar.protocol.packet import IPAddress
from carpsidecar.protocol.timetable import NEVER
from carpsidecar.protocol.timing import TICKS_PER_S
from tests.simulation.engine import replace_election
from tests.simulation.node import Node
from tests.simulation.takeover_mutants import TAKEOVER_MUTANTS

Mutant = type[Election] | type[Member] | type[Takeover] | type[Probe] | type[ClaimGuard] | type[Node]


class ForgottenDeadRatio(Election):
    """ucarp 1.5.2: with advbase 0 a backup waits for one interval only."""

    @property
    def _master_down_ticks(self) -> int:
        if self.settings.advbase == 0:
            return self._interval_ticks
        return super()._master_down_ticks


class KeepsTheAddress(Election):
    """Yields to a better master, and does not release."""

    def _heard_as_master(self, now: float, theirs: int, demotion: int, source: IPAddress) -> Effects:
        effects = super()._heard_as_master(now, theirs, demotion, source)
        return [effect for effect in effects if effect is not Addresses.RELEASE]


class NoTieBreak(Election):
    """Of two equal masters neither yields."""

    def _heard_as_master(self, now: float, theirs: int, demotion: int, source: IPAddress) -> Effects:
        if theirs == self._interval_ticks:
            return (*self._advertise(now), Addresses.ANNOUNCE)
        return super()._heard_as_master(now, theirs, demotion, source)


class BothYield(Election):
    """Of two equal masters both yield."""

    def _heard_as_master(self, now: float, theirs: int, demotion: int, source: IPAddress) -> Effects:
        if theirs == self._interval_ticks:
            return (Addresses.RELEASE, *self._become_backup(now, Reason.BETTER_MASTER, source))
        return super()._heard_as_master(now, theirs, demotion, source)


class FarewellToAnEqual(Election):
    """Advertises a last time when it yields to an equal one too: a BSD yields to that."""

    def _heard_as_master(self, now: float, theirs: int, demotion: int, source: IPAddress) -> Effects:
        yields = theirs == self._interval_ticks and self.is_better(theirs, source)
        farewell = (self._advertisement(now),) if yields else ()
        effects = super()._heard_as_master(now, theirs, demotion, source)
        return (*effects[:1], *farewell, *effects[1:])


class FamiliesMixed(Election):
    """The tie between two masters is broken by the lower address of either family."""

    def _heard_as_master(self, now: float, theirs: int, demotion: int, source: IPAddress) -> Effects:
        if theirs == self._interval_ticks and source.version != self.source.version:
            if source.packed < self.source.packed:
                return (Addresses.RELEASE, *self._become_backup(now, Reason.BETTER_MASTER, source))
            return (*self._advertise(now), Addresses.ANNOUNCE)
        return super()._heard_as_master(now, theirs, demotion, source)


class SlowRenewal(Election):
    """Renews only with its advertisements, however far apart they are."""

    def _lease(self, now: float) -> None:
        super()._lease(now)
        self._term.renew_at = NEVER


class RenewsHalfway(Election):
    """Renews once between two advertisements, in the middle: the first version of this engine."""

    def _lease(self, now: float) -> None:
        super()._lease(now)
        advertise_at = self._term.advertise_at
        long_way = advertise_at - now > 0.9 * self.interval_s and self.interval_s > self.lifetime_s / 2
        self._term.renew_at = (now + advertise_at) / 2 if long_way else NEVER


class NoWaitAfterBowOut(Election):
    """Every backup takes over at the bow-out at once, and the best one is not the first."""

    def _heard_as_backup(
        self, now: float, theirs: int, demotion: int, source: IPAddress, bows_out: bool
    ) -> Effects:
        if bows_out:
            return self._become_master(now, Reason.MASTER_BOWED_OUT, source)
        return super()._heard_as_backup(now, theirs, demotion, source, bows_out)


class DeafToBowOut(Election):
    """Takes a bow-out for any other advertisement."""

    def _heard_as_backup(
        self, now: float, theirs: int, demotion: int, source: IPAddress, bows_out: bool
    ) -> Effects:
        if bows_out:
            self._arm_master_down(now)
            return ()
        return super()._heard_as_backup(now, theirs, demotion, source, bows_out)


class FollowsAnybody(Election):
    """Heeds a bow-out, and a loser's farewell, from whomever they come."""

    def _heard_as_backup(
        self, now: float, theirs: int, demotion: int, source: IPAddress, bows_out: bool
    ) -> Effects:
        self._followed.clear()
        return super()._heard_as_backup(now, theirs, demotion, source, bows_out)


class NeverPreempts(Election):
    """Leaves a slower master alone although it was told to preempt."""

    def _heard_as_backup(
        self, now: float, theirs: int, demotion: int, source: IPAddress, bows_out: bool
    ) -> Effects:
        told, self.settings = self.settings, self.settings._replace(preempt=False)
        effects = super()._heard_as_backup(now, theirs, demotion, source, bows_out)
        self.settings = told
        return effects


class PreemptsEquals(Election):
    """Preempts a master with the same interval."""

    def _heard_as_backup(
        self, now: float, theirs: int, demotion: int, source: IPAddress, bows_out: bool
    ) -> Effects:
        if self.settings.preempt and theirs == self._interval_ticks:
            return self._become_master(now, Reason.PREEMPTED, source)
        return super()._heard_as_backup(now, theirs, demotion, source, bows_out)


class ForgetsThatItWasAsked(Election):
    """Asked to step down, it preempts whoever took over."""

    def step_down(self, now: float, reason: Reason) -> Effects:
        effects = super().step_down(now, reason)
        self._stepped_down = False
        return effects


class DoesNotRearm(Election):
    """Waits for the master's silence from its start on, whatever it hears."""

    def _arm_master_down(self, now: float) -> None:
        if self._master_down_at == NEVER:
            super()._arm_master_down(now)


class DoesNotAnswerRivals(Election):
    """A master that hears a worse one says nothing until its next advertisement is due."""

    def _heard_as_master(self, now: float, theirs: int, demotion: int, source: IPAddress) -> Effects:
        effects = super()._heard_as_master(now, theirs, demotion, source)
        return effects if Addresses.RELEASE in effects else ()


class SilentExit(Election):
    """Stops without a bow-out."""

    def stop(self, now: float) -> Effects:
        return [effect for effect in super().stop(now) if effect != BOW_OUT]


class StaysWithoutLink(Election):
    """The cable was pulled and nothing happened."""

    def link_changed(self, now: float, up: bool) -> Effects:
        return super().link_changed(now, up) if up else ()


class SpeaksTooEarly(Election):
    """Says that it is master before it has the address."""

    def _become_master(
        self, now: float, reason: Reason, peer: IPAddress | None = None, promoted_advskew: int | None = None
    ) -> Effects:
        effects: list[Effect] = list(super()._become_master(now, reason, peer, promoted_advskew))
        effects.sort(key=lambda effect: not isinstance(effect, Become))
        return effects


class IgnoresItsOwnDemotion(Election):
    """Compares what is configured, and advertises what is demoted."""

    @property
    def _interval_ticks(self) -> int:
        return self.settings.advbase * TICKS_PER_S + self.settings.advskew or 1


class ShortensItsLease(Election):
    """Counts the backups' patience from the renewal, and by a demotion that was undone since it advertised."""

    def _lease(self, now: float) -> None:
        super()._lease(now)
        self._term.patience_until = now + self.master_down_s

    def _advertisement(self, now: float) -> Advertise:
        patience_until = self._term.patience_until
        said = super()._advertisement(now)
        self._term.patience_until = patience_until
        return said


class PromotedWithoutHaste(Election):
    """Takes over when it is promoted, and advertises as slowly as before."""

    @property
    def _own_advskew(self) -> int:
        return self.settings.advskew


class LongLease(Election):
    """A lifetime as long as the backups' patience, not a second less."""

    @property
    def lifetime_s(self) -> int:
        return super().lifetime_s + 1


class _AlwaysSure(Election):
    @property
    def lease_until(self) -> float:
        return float("inf")


class NeverMissesItsLease(Member):
    """Wakes up after a hang and goes on as master."""

    def __init__(self, settings: Settings, source: IPAddress) -> None:
        super().__init__(settings, source)
        replace_election(self, _AlwaysSure(settings, source))
        self.lease.may_be_overtaken = lambda now: False  # type: ignore[method-assign]


class TakesEveryAnswer(Member):
    """The kernel's answer to what was requested in a former term counts in this one."""

    def __init__(self, settings: Settings, source: IPAddress) -> None:
        super().__init__(settings, source)
        answered = self.lease.answered
        self.lease.answered = lambda request: answered(request) or True  # type: ignore[method-assign]


class CountsFromTheAnswer(Member):
    """Believes in a lease from when the kernel answered, and not from when it was asked."""

    def lease_confirmed(self, now: float, request: LeaseRequest) -> None:
        super().lease_confirmed(now, replace(request, until=now + request.lifetime_s))


class BelievesUnanswered(Member):
    """Counts on a renewal as soon as it has requested it."""

    def _renew(self, now: float) -> None:
        super()._renew(now)
        if self.lease.ends_at is not None:
            self.lease.ends_at = now + self.election.lifetime_s


class TakesLateAnswers(Member):
    """An answer that comes after the lease has ended prolongs it all the same."""

    def lease_confirmed(self, now: float, request: LeaseRequest) -> None:
        ends_at = self.lease.ends_at
        if ends_at is not None:
            self.lease.ends_at = max(ends_at, now + 1e-9)
        super().lease_confirmed(now, request)


class IgnoresFailures(Member):
    """Goes on as master although the kernel refused the addresses."""

    def lease_failed(self, now: float, request: LeaseRequest, error: OSError) -> None:
        self.lease.answered(request)


class GoesOnAfterAFailure(Member):
    """Does not drop what was queued for a takeover that failed."""

    def _drop_obsolete(self) -> None: ...


class RemovesFirst(Member):
    """At a release takes the addresses off before it bows out."""

    def _apply(self, now: float, effects: Effects, text: str = "") -> None:
        if list(effects[:2]) == [BOW_OUT, Addresses.RELEASE]:
            effects = (Addresses.RELEASE, BOW_OUT, *effects[2:])
        super()._apply(now, effects, text)


class SpeaksAfterAStop(Member):
    """Stopped between two actions, it advertises and renews all the same."""

    def next_action(self, now: float) -> Action | None:
        return self._queue.popleft() if self._queue else None


class StaysDemoted(Member):
    """What failed once is never tried again by a backup."""

    def _try_again(self, now: float) -> None: ...


class TriesAllTheTime(Member):
    """What fails is tried again at once."""

    def _try_again(self, now: float) -> None:
        super()._try_again(now)
        for recovery in self.recovery.values():
            if recovery.due_at > now:
                recovery.due_at = min(recovery.due_at, now + 0.1)


class ForgetsWhatWentWell(Member):
    """A test that succeeds ends no demotion."""

    def tried(self, now: float, attempt: TrySending | TryAdding, ok: bool) -> None: ...


MUTANTS: tuple[Mutant, ...] = (
    ForgottenDeadRatio,
    KeepsTheAddress,
    NoTieBreak,
    BothYield,
    FarewellToAnEqual,
    FamiliesMixed,
    SlowRenewal,
    RenewsHalfway,
    NoWaitAfterBowOut,
    DeafToBowOut,
    FollowsAnybody,
    NeverPreempts,
    PreemptsEquals,
    ForgetsThatItWasAsked,
    DoesNotRearm,
    DoesNotAnswerRivals,
    SilentExit,
    StaysWithoutLink,
    SpeaksTooEarly,
    IgnoresItsOwnDemotion,
    ShortensItsLease,
    PromotedWithoutHaste,
    LongLease,
    NeverMissesItsLease,
    TakesEveryAnswer,
    CountsFromTheAnswer,
    BelievesUnanswered,
    TakesLateAnswers,
    IgnoresFailures,
    GoesOnAfterAFailure,
    RemovesFirst,
    SpeaksAfterAStop,
    StaysDemoted,
    TriesAllTheTime,
    ForgetsWhatWentWell,
    *TAKEOVER_MUTANTS,
)


def member_maker(mutant: Mutant | None) -> Callable[[Settings, IPAddress], Member]:
    """Makes members with this mistake, or without any."""
    if mutant is None or issubclass(mutant, Node):
        return Member
    if issubclass(mutant, Member):
        return mutant
    mistaken = mutant

    def make(settings: Settings, source: IPAddress) -> Member:
        member = Member(settings, source)
        if issubclass(mistaken, Election):
            replace_election(member, mistaken(settings, source))
        elif issubclass(mistaken, Takeover):
            member.takeover = mistaken(member.election, vhid=0)
        elif issubclass(mistaken, Probe):
            member.takeover.probe = mistaken(vhid=0)
        else:
            member.takeover.guard = mistaken()
        return member

    return make
