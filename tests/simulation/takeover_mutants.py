"""Mistakes in how a backup comes to be master, and in when a master falls silent."""

from carpsidecar.member.claim_guard import ClaimGuard, GuardStep
from carpsidecar.member.member import Member
from carpsidecar.member.probe import NEVER, Probe, ProbeStep
from carpsidecar.member.takeover import Step, Takeover
from carpsidecar.protocol.election import Election
from carpsidecar.protocol.packet import IPAddress
from tests.simulation.node import Node


class ProbesWhoNeverAnswered(Probe):
    """Takes a segment that swallows answers for a master that is gone."""

    @property
    def calibrated(self) -> bool:
        return True


class OneSilenceIsEnough(Probe):
    """Finds a master gone when one question stays unanswered."""

    def timer_expired(self, now: float) -> ProbeStep:
        if now >= self._ask_at and self.unanswered:
            return ProbeStep.GONE
        return super().timer_expired(now)


class DeafToAnswers(Probe):
    """An answer of a silent master changes nothing."""

    def answered(self, now: float) -> None:
        if not self.unanswered:
            super().answered(now)


class NeverProbes(Probe):
    """Waits out its patience."""

    def advertised(self, now: float, master: object, interval_s: float) -> None: ...


class AsksOnce(Probe):
    """An answer of a silent master ends all questions: when its lease ends, nobody notices."""

    def answered(self, now: float) -> None:
        silent = self.unanswered
        super().answered(now)
        if silent:
            self._ask_at = NEVER


class AsksAllTheTime(Probe):
    """Asks a master that advertises on time."""

    def advertised(self, now: float, master: object, interval_s: float) -> None:
        super().advertised(now, master, interval_s)
        if self.calibrated:
            self._ask_at = now + interval_s / 2


class AsksNobody(Takeover):
    """Takes an address after silence without a question."""

    def __init__(self, election: Election, vhid: int) -> None:
        super().__init__(election, vhid)
        self._guards = False


class TakesItAnyway(ClaimGuard):
    """Asks who has the address, and takes it whoever answers."""

    def timer_expired(self, now: float) -> GuardStep:
        step = super().timer_expired(now)
        self.holder = None
        return GuardStep.FREE if step is GuardStep.IN_USE else step


class TakesEverybodyForAMember(ClaimGuard):
    """Whoever answers is the master that was lost."""

    def _is_harmless(self, now: float, mac: bytes) -> bool:
        return True


class NeverAsksAgain(Member):
    """What somebody else had once is never taken."""

    def _refuse_address(self, now: float) -> None:
        super()._refuse_address(now)
        self.election.address_in_use(now, 1e9)


class TakesWithoutAClaim(Takeover):
    """Of several backups that wait for one bow-out, two take the address."""

    def step(self, now: float) -> Step:
        step = super().step(now)
        return Step.TAKE if step is Step.CLAIM else step


class GivesWayToAnybody(Takeover):
    """Gives up its claim to a worse one."""

    def ignores(self, theirs: int, source: IPAddress, leaves: bool) -> bool:
        return False


class GivesWayToNobody(Takeover):
    """Keeps its claim beside a better one."""

    def ignores(self, theirs: int, source: IPAddress, leaves: bool) -> bool:
        return self._claimed_at is not None


class DecidesBeforeItReads(Node):
    """After a stall its timers run first, and then it reads what arrived meanwhile."""

    @property
    def _reads_first(self) -> bool:
        return False


class NeverRenewsItsFence(Node):
    """Says when it takes the addresses until when they are live, and not with its advertisements."""

    def _keep_live(self) -> None:
        if not self.kernel.answers:
            super()._keep_live()


class FencesTooLong(Node):
    """Its addresses are live for a moment longer than its backups wait."""

    def _keep_live(self) -> None:
        self.kernel.keep_live(self.member.lease.backups_wait_until + 0.1)


TAKEOVER_MUTANTS = (
    ProbesWhoNeverAnswered,
    OneSilenceIsEnough,
    DeafToAnswers,
    NeverProbes,
    AsksOnce,
    AsksAllTheTime,
    AsksNobody,
    TakesItAnyway,
    TakesEverybodyForAMember,
    NeverAsksAgain,
    TakesWithoutAClaim,
    GivesWayToAnybody,
    GivesWayToNobody,
    DecidesBeforeItReads,
    NeverRenewsItsFence,
    FencesTooLong,
)
