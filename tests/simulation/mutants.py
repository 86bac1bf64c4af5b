"""Elections with one mistake each, made before by somebody or easily made: the simulator must see every one."""

from carpsidecar.protocol.effects import BOW_OUT, Addresses, Advertise, Become, Effect, Effects, Reason
from carpsidecar.protocol.election import Election
from carpsidecar.protocol.packet import IPAddress
from carpsidecar.protocol.timetable import NEVER
from carpsidecar.protocol.timing import TICKS_PER_S


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


class FamiliesMixed(Election):
    """The tie between two masters is broken by the lower address of either family."""

    def _heard_as_master(self, now: float, theirs: int, demotion: int, source: IPAddress) -> Effects:
        if theirs == self._interval_ticks and source.version != self.source.version:
            if source.packed < self.source.packed:
                return (Addresses.RELEASE, *self._become_backup(now, Reason.BETTER_MASTER, source))
            return (*self._advertise(now), Addresses.ANNOUNCE)
        return super()._heard_as_master(now, theirs, demotion, source)


class NeverMissesItsLease(Election):
    """Wakes up after a hang and goes on as master. (Its engine does not look at the lease either.)"""

    @property
    def lease_until(self) -> float:
        return float("inf")


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
    """Heeds a bow-out, and a loser's last words, from whomever they come."""

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
        leaves = bows_out or theirs > self._master_down_ticks
        if not leaves:
            self._arm_master_down(now)
            return ()
        return super()._heard_as_backup(now, theirs, demotion, source, bows_out)


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


MUTANTS: tuple[type[Election], ...] = (
    ForgottenDeadRatio,
    KeepsTheAddress,
    NoTieBreak,
    BothYield,
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
)


def engine_checks_lease(election_type: type[Election]) -> bool:
    """Whether the engine around it looks at the lease too: it would hide that the election does not."""
    return election_type is not NeverMissesItsLease
