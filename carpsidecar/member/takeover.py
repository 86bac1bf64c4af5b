"""How a backup comes to be master: what it asks and says before it takes an address.

    a master that is overdue   the probe asks whether its address is still held; if not, the master is gone
    a takeover is due          after silence alone, the claim guard asks who has the address
                               then it is claimed: one advertisement, and some milliseconds to hear who minds
                               then it is taken

The claim makes one successor of many backups: their waits lie close together, but whoever hears a better one
advertise before it has taken the address gives up its own; a better master that was only thought silent stays.

Times are seconds of one monotonic clock.
"""

from enum import Enum
from typing import Final

from carpsidecar.member.claim_guard import NEVER, ClaimGuard, GuardStep
from carpsidecar.member.probe import Probe, ProbeStep
from carpsidecar.protocol.effects import State
from carpsidecar.protocol.election import Election
from carpsidecar.protocol.packet import IPAddress
from carpsidecar.protocol.timing import TICKS_PER_S, interval_ticks

CLAIM_S: Final = 0.004
"""For how long a claim stands: some trips through a network, with a busy machine at either end."""


class Step(Enum):
    """What is to be done now."""

    NOTHING = "nothing"
    ASK_SHARED = "ask for one address of the master"
    ASK_FIRST = "ask for one address"
    ASK_ALL = "ask for all addresses"
    MASTER_GONE = "the master is gone"
    REFUSE = "somebody else has the address"
    CLAIM = "advertise"
    TAKE = "take over"


class Takeover:
    """Of one member, while it is a backup.

    Args:
        vhid: so that many groups do not ask at the same moment.
    """

    def __init__(self, election: Election, vhid: int) -> None:
        self.probe = Probe(vhid)
        self.guard = ClaimGuard()
        self._asks = self._guards = True
        self._election = election
        self._claimed_at: float | None = None

    @property
    def deadline(self) -> float:
        """When `step` wants to be called besides the election's deadline; NEVER where it does not."""
        if self.guard.asking:
            return self.guard.deadline
        if self._claimed_at is not None:
            return self._claimed_at + CLAIM_S
        return min(self.probe.deadline, self.guard.confirm_at)

    @property
    def under_way(self) -> bool:
        """Whether the election's deadline has passed, and what follows from it is begun."""
        return self.guard.asking or self._claimed_at is not None

    def configure(self, *, probes: bool, guards: bool) -> None:
        """Whether it asks for the address of a silent master, and before it takes one after silence."""
        self._guards = guards
        self._asks = probes or guards
        self.probe.shortens = probes
        if not probes:
            self.probe.forget()
        if not guards:
            self.guard.give_up()

    def advertised(self, now: float, theirs: int, source: IPAddress) -> None:
        """The master that is followed did, and will again in so many ticks."""
        if not self._asks:
            return
        # In a group of both families the master has two addresses: one stands for it, either says that it lives.
        if source.version == self._election.source.version:
            self.probe.advertised(now, source, theirs / TICKS_PER_S)
        else:
            self.probe.advertised_again(now, theirs / TICKS_PER_S)

    def ignores(self, theirs: int, source: IPAddress, leaves: bool) -> bool:
        """Whether an advertisement comes from one who must give way to our claim, as a master would.

        Whatever it is, a claim or a master that was only thought silent: of all that hear each other the best one
        goes on, and whoever gave way to any other might leave the address to nobody.
        """
        return self._claimed_at is not None and (leaves or not self._election.is_better(theirs, source))

    def answered(self, now: float, address: IPAddress, mac: bytes) -> bool:
        """Somebody answers for an address. Whether that is late: it was taken, and must be given back."""
        if self._election.state is State.BACKUP:
            if self.probe.calibrates(now):
                self.guard.member_answered(mac)
            self.probe.answered(now)
        late = self.guard.answered(now, address, mac)
        if late is None:
            return False
        if self._election.state is not State.MASTER:
            if self._claimed_at is not None and self._election.waits_for_silent_master:
                self._claimed_at = None
                self.guard.begin(now, self._rank)
            return False
        self.guard.holder = late
        return True

    def wanted(self, now: float, rank: bytes) -> None:
        """Another asks for an address because it is about to take it, as `ClaimGuard.wanted`."""
        approaches = self.under_way and self._guards and self._election.waits_for_silent_master
        if approaches and self.guard.wanted(now, rank):
            self._claimed_at = None

    def confirms(self, now: float) -> bool:
        """Whether the addresses, taken after silence, are to be asked for once more, now."""
        return self.guard.confirms(now)

    def master_answered(self, now: float) -> None:
        """Somebody answers for an address of another group of the master that is overdue."""
        if self.probe.unanswered:
            self.probe.answered(now)

    def stalled(self, now: float) -> None:
        """This node was not run itself for a while."""
        self.probe.stalled(now)

    def settle(self, now: float) -> None:
        """The election went on: a takeover that is no longer due is not approached any further."""
        due_at = self._election.deadline
        if self._election.state is not State.MASTER:
            self.guard.confirm_at = NEVER
        if self._election.state is not State.BACKUP:
            self.probe.forget()
        elif due_at is not None and due_at <= now:
            return
        self._claimed_at = None
        self.guard.give_up()

    def step(self, now: float) -> Step:
        """Harmless when it comes early. What has arrived by now is to be fed before it."""
        due_at = self._election.deadline
        if due_at is None or now < due_at:
            return self._probe(now) if now >= self.probe.deadline else Step.NOTHING
        if self._claimed_at is None and self._guards and self._election.waits_for_silent_master:
            return self._ask(now)
        # Whoever was not run while its claim stood may have missed the answer to it.
        if self._claimed_at is None or now > self._claimed_at + CLAIM_S + self._election.interval_s / 2:
            self._claimed_at = now
            return Step.CLAIM
        if now < self._claimed_at + CLAIM_S:
            return Step.NOTHING
        if self._guards and self._election.waits_for_silent_master:
            self.guard.taken(now)
        return Step.TAKE

    @property
    def _rank(self) -> bytes:
        """In the order in which members are elected: by interval, then by source address."""
        election = self._election
        ticks = interval_ticks(election.settings.advbase, election.advskew)
        return ticks.to_bytes(2, "big") + election.source.packed[-4:]

    def _probe(self, now: float) -> Step:
        if now - self.probe.deadline > self._election.interval_s / 2:
            self.probe.stalled(now)
            return Step.NOTHING
        step = self.probe.timer_expired(now)
        if step is ProbeStep.GONE:
            self.probe.forget()
            return Step.MASTER_GONE
        if step is ProbeStep.ASK:
            return Step.ASK_SHARED if self.probe.asks_again else Step.ASK_FIRST
        return Step.NOTHING

    def _ask(self, now: float) -> Step:
        if not self.guard.asking:
            self.guard.begin(now, self._rank)
        step = self.guard.timer_expired(now)
        if step is GuardStep.ASK:
            return Step.ASK_ALL
        if step is GuardStep.IN_USE:
            self.probe.forget()
            return Step.REFUSE
        if step is GuardStep.FREE:
            self._claimed_at = now
            return Step.CLAIM
        return Step.NOTHING
