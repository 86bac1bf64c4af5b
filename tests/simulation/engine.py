"""The engine's shell between the real member and a virtual kernel.

It does what `engine.group` does: feed an event, perform the actions in order, arm the timer. A renewal is done by a
thread: its answer comes later, may be an error, and may come when nobody waits for it any more.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv6Address

from carpsidecar.engine.fencing import live_until
from carpsidecar.member.actions import (
    Action,
    AddAddresses,
    Announce,
    AskForAddresses,
    RemoveAddresses,
    RenewAddresses,
    RoleChanged,
    TryAdding,
    TrySending,
)
from carpsidecar.member.member import Member
from carpsidecar.member.takeover import Takeover
from carpsidecar.protocol.auth import Authenticator, Claim
from carpsidecar.protocol.effects import Advertise, Settings
from carpsidecar.protocol.election import Election
from carpsidecar.protocol.hardened_packet import Role
from carpsidecar.protocol.packet import Advertisement, Drop, IPAddress
from carpsidecar.protocol.receiver import Receiver
from carpsidecar.protocol.timing import TICKS_PER_S, master_down_ticks
from tests.simulation.kernel import Kernel
from tests.simulation.world import NEVER, Machine, World

VHID = 42
PASSPHRASE = b"sesame"
VIPS = (IPv4Address("192.0.2.100"), IPv6Address("2001:db8::100"))
SOCKET_QUEUE = 64
"""Packets that wait in the socket of a stopped process; more are lost."""
NO_LINK = "no link"

MakeMember = Callable[[Settings, IPAddress], Member]


def replace_election(member: Member, election: Election) -> None:
    """Before it starts."""
    member.election = election
    member.takeover = Takeover(election, vhid=0)


@dataclass(frozen=True, slots=True)
class Cause:
    """What made an election act, and when."""

    kind: str
    at: float
    heard: Advertisement | None = None
    source: IPAddress | None = None
    sent_at: float = NEVER


class Engine:
    """One machine's protocol, kernel and wire. What befalls it is in `node`."""

    is_ours = True
    """Whether it runs this code, and is judged: a BSD does as it does."""

    def __init__(
        self,
        world: World,
        index: int,
        settings: Settings,
        sources: Sequence[IPAddress],
        make_member: MakeMember = Member,
        fenced: bool = False,
    ) -> None:
        self.world = world
        self.index = index
        self.settings = settings
        self.sources = sources
        self.kernel = Kernel(world, index, fenced)
        self.member = make_member(settings, sources[0])
        self.running = False
        self.hung = False
        self.link_up = self.link_seen = True
        self.unheard = False
        """Nobody hears its kernel answer: a switch or its settings swallow that."""
        self.sends_fail = False
        self.renewal_max_s = 0.0
        """How long the kernel's lock may be held by others."""
        self.adding_fails = False
        self.booted_at = NEVER
        self.demotion = 0
        self.stepped_down = False
        self.interval_s = self.patience_s = 0.0
        """What it went by when it last decided something."""
        self.advertised_at = NEVER
        self.advertises_every_s = 0.0
        """The interval that it went by when it last advertised, and that ends with its next advertisement."""
        patience_ticks = master_down_ticks(settings.advbase, settings.advskew, settings.dead_ratio)
        self.shortest_patience_s = patience_ticks / TICKS_PER_S
        """The master-down interval without any demotion."""
        self.troubled_at = NEVER
        self.master_since = self.master_until = NEVER
        self.renewed_at = NEVER
        self.held_until = NEVER
        """By what the kernel has confirmed."""
        self.epoch = 0
        """Rises with every start, stop and wake, so that a late check knows whether it still applies."""
        self._make_member = make_member
        self._receiver = Receiver()
        self._authenticator: Authenticator
        self.renewal_ends_at = NEVER
        self.news_of_loss_at = 0.0
        """When the kernel has told it that somebody removed the address."""
        self._performed: list[Action] = []
        self._timer_at: float | None = None
        self._inbox: deque[Callable[[], None]] = deque()
        self._ambush: tuple[int, Callable[[], None]] | None = None
        self._interrupted: tuple[Cause, Action | None] | None = None
        self._stopping = False

    def __str__(self) -> str:
        return f"node {self.index}"

    @property
    def election(self) -> Election:
        return self.member.election

    @property
    def renewing(self) -> bool:
        return self.world.now <= self.renewal_ends_at

    @property
    def answers(self) -> bool:
        return self.kernel.answers and not self.unheard

    @property
    def alive(self) -> bool:
        return self.running and not self.hung

    @property
    def can_be_heard(self) -> bool:
        return self.alive and self.link_up and not self.sends_fail

    @property
    def has_unread_packets(self) -> bool:
        return any(isinstance(item, partial) and item.func == self._hear for item in self._inbox)

    @property
    def has_news_of_loss(self) -> bool:
        """Whether it has not read yet that the kernel dropped the address."""
        return self.address_removed in self._inbox or self.world.now < self.news_of_loss_at

    @property
    def is_master(self) -> bool:
        return self.running and self.member.is_master

    def packet_arrives(self, payload: bytes, source: IPAddress, sent_at: float) -> None:
        if not self.running:
            return
        if self.hung:
            if len(self._inbox) < SOCKET_QUEUE:
                self._inbox.append(partial(self._hear, payload, source, sent_at))
            return
        self._hear(payload, source, sent_at)

    def _cause(self, kind: str) -> Cause:
        return Cause(kind, self.world.now)

    def _hear(self, payload: bytes, source: IPAddress, sent_at: float) -> None:
        if not self.running:
            return
        heard = self._receiver.receive(self.world.now, payload, 255, source)
        if isinstance(heard, Drop):
            self.world.say("{} drops a packet from {}: {}", self, source, heard)
            return
        assert isinstance(heard, Advertisement)
        cause = Cause("packet", self.world.now, heard, source, sent_at)
        self.world.monitor.heard(self, cause)
        received = self.member.advertisement_received
        self._feed(cause, received, heard.advbase, heard.advskew, heard.demotion, source)

    def answer_arrives(self, holder: Machine) -> None:
        """A kernel, whatever its engine does, says that it has the address."""
        if self.running and self.hung and len(self._inbox) < SOCKET_QUEUE:
            self._inbox.append(partial(self.answer_arrives, holder))
        elif self.running and not self.hung:
            mac = bytes((2, 0, 0, 0, 0, holder.index & 255))
            self.world.monitor.takeovers.answered(self, holder)
            self._feed(self._cause("answer"), self.member.address_answered, VIPS[0], mac)

    def question_arrives(self, rank: bytes) -> None:
        """Somebody asks for the address because it is about to take it."""
        if self.running and self.hung and len(self._inbox) < SOCKET_QUEUE:
            self._inbox.append(partial(self.question_arrives, rank))
        elif self.running and not self.hung:
            self._feed(self._cause("question"), self.member.address_wanted, rank)

    def _link_seen(self) -> None:
        if self.hung:
            self._inbox.append(self._link_seen)
        elif self.running:
            self._trouble()
            self.link_seen = self.link_up
            self._feed(self._cause("link"), self.member.link_changed, "" if self.link_up else NO_LINK)
            if self.alive:
                self.world.monitor.link_seen(self)

    def address_removed(self) -> None:
        if self.hung:
            self._inbox.append(self.address_removed)
        elif self.running and not self.kernel.held:
            self._feed(self._cause("removed"), self.member.addresses_removed, VIPS)

    def _timer(self, armed_for: float) -> None:
        if armed_for != self._timer_at:
            return
        self._timer_at = None
        if self.alive:
            self._run_timer()

    def _run_timer(self) -> None:
        self._feed(self._cause("timer"), self.member.timer_expired)

    # The shell.

    def _feed(self, cause: Cause, event: Callable[..., None], *details: object) -> None:
        event(self.world.now, *details)
        self.interval_s, self.patience_s = self.election.interval_s, self.election.master_down_s
        self._performed = []
        self._advance(cause)

    def _advance(self, cause: Cause) -> None:
        # Sending may fail, and so change what the election goes by from then on.
        advskew = self.election.advskew
        while self.member._queue:
            if self._ambush is not None and self._ambushed():
                if self.hung:
                    self._interrupted = (cause, None)
                return
            action = self.member.next_action(self.world.now)
            assert action is not None
            if isinstance(action, RemoveAddresses):
                self.kernel.silence()
            if isinstance(action, AddAddresses | RemoveAddresses) and self.renewing:
                self._wait_for_kernel(cause, action)
                return
            self._perform(cause, action)
        self._finish(cause, advskew)

    def _finish(self, cause: Cause, advskew: int) -> None:
        if self.election.advskew != advskew:
            self._trouble()
        self.world.monitor.settled(self, cause, self._performed)
        self._arm()
        if self._stopping:
            self.running = False
            self._forget_process()

    def _perform(self, cause: Cause, action: Action) -> None:
        now, monitor = self.world.now, self.world.monitor
        self._performed.append(action)
        if isinstance(action, Advertise):
            if self.advertises_every_s != self.interval_s:
                self._trouble()
            self.advertises_every_s = self.interval_s
            monitor.claims(self, cause)
            ok = self._transmit(action)
            self.member.sent(now, action, ok)
            if ok:
                self.advertised_at = now
                if self.member.lease.ends_at is not None:
                    self._keep_live()
        elif isinstance(action, RoleChanged):
            monitor.became(self, action, cause)
        elif isinstance(action, AddAddresses):
            if self.adding_fails:
                self._trouble()
                self.member.lease_failed(now, action, OSError("no"))
            else:
                self.held_until = cause.at + action.lifetime_s
                self._keep_live()
                self.kernel.lease(action.lifetime_s)
                self.member.lease_confirmed(now, action)
                if self.is_master:
                    self.renewed_at = cause.at
        elif isinstance(action, RenewAddresses):
            monitor.renews(self)
            self._begin_renewal(action)
        elif isinstance(action, RemoveAddresses):
            self.kernel.remove()
        elif isinstance(action, Announce):
            monitor.announces(self, cause)
        elif isinstance(action, AskForAddresses):
            monitor.takeovers.asks(self)
            self.world.ask(self, action.rank)
        elif isinstance(action, TrySending | TryAdding):
            monitor.tries(self, action)
            fails = self.sends_fail if isinstance(action, TrySending) else self.adding_fails
            self.member.tried(now, action, not fails)

    def _keep_live(self) -> None:
        """Its backups cannot have lost their patience before."""
        self.kernel.keep_live(live_until(self.member.lease.backups_wait_until, self.election.master_down_s))

    def _begin_renewal(self, request: RenewAddresses) -> None:
        takes_s = self.renewal_max_s * self.world.rng.random()
        if takes_s:
            self._trouble()
        fails = self.adding_fails
        self.renewal_ends_at = self.world.now + takes_s
        self.world.at(self.renewal_ends_at, self._renewal_ends, request, self.world.now, fails, self.booted_at)

    def _renewal_ends(self, request: RenewAddresses, begun_at: float, fails: bool, booted_at: float) -> None:
        """The kernel gets its lock, whatever has become of the process since, and then the thread answers."""
        if self.renewal_ends_at == NEVER:
            # The machine was switched off meanwhile.
            return
        self.renewal_ends_at = NEVER
        if fails or self.world.now > begun_at:
            self._trouble()
        if not fails:
            self.kernel.lease(request.lifetime_s)
        if self.running and self.booted_at == booted_at:
            self._answer(request, begun_at, fails, booted_at)

    def _answer(self, request: RenewAddresses, begun_at: float, fails: bool, booted_at: float) -> None:
        if self.hung:
            self._inbox.append(partial(self._answer, request, begun_at, fails, booted_at))
            return
        if not self.running or self.booted_at != booted_at:
            return
        self.world.say("{}: the renewal of {:.6f} s {}", self, begun_at, "failed" if fails else "is done")
        cause = self._cause("renewal")
        if fails:
            was_master = self.is_master
            self._feed(cause, self.member.lease_failed, request, OSError("no"))
            self.world.monitor.renewal_failed(self, stale=was_master and begun_at < self.master_since)
            return
        of_this_term = self.is_master and begun_at >= self.master_since
        too_late = of_this_term and self.world.now >= self.held_until
        self._feed(cause, self.member.lease_confirmed, request)
        self.world.monitor.answered(self, too_late)
        if of_this_term and self.is_master:
            self.renewed_at = max(self.renewed_at, begun_at)
            self.held_until = max(self.held_until, begun_at + request.lifetime_s)

    def _wait_for_kernel(self, cause: Cause, action: Action) -> None:
        """What is done at once waits for a renewal that is under way, and everything else for it."""
        self._interrupted = (cause, action)
        self.hung = True
        self._touch()
        self.world.at(self.renewal_ends_at, self._wake, self.epoch)

    def _resume(self) -> None:
        """Go on where it was interrupted."""
        if self._interrupted is not None:
            (cause, action), self._interrupted = self._interrupted, None
            if action is not None:
                self._perform(cause, action)
            self._advance(cause)

    def _transmit(self, advertise: Advertise) -> bool:
        world = self.world
        if self.sends_fail:
            self._trouble()
            return False
        world.monitor.advertises(self)
        world.say("{} advertises {}/{}", self, advertise.advbase, advertise.advskew)
        claim = Claim(Role.MASTER, advertise.advbase, advertise.advskew, 0.0)
        for source in self.sources:
            world.broadcast(self, self._authenticator.advertisement(world.now, source, claim), source)
        return True

    def _arm(self) -> None:
        """One pending timer; a deadline that moved away is found out when the old one fires early."""
        deadline = self.member.deadline
        if deadline is None or not self.alive:
            return
        if self._timer_at is None or deadline < self._timer_at:
            at = max(deadline, self.world.now) + self.world.latency_s * self.world.rng.random()
            if self._timer_at is None or at < self._timer_at:
                self._timer_at = at
                self.world.at(at, self._timer, at)

    def _ambushed(self) -> bool:
        assert self._ambush is not None
        left, blow = self._ambush
        if left > 0:
            self._ambush = (left - 1, blow)
            return False
        self._ambush = None
        blow()
        return not self.alive

    def _trouble(self) -> None:
        self.troubled_at = self.world.now
        self.world.disturb()

    # A process comes and goes.

    def _wake(self, epoch: int) -> None:
        if not self.hung or epoch != self.epoch:
            return
        self.world.say("{} wakes", self)
        self.hung = False
        self._touch()
        self._resume()
        timer_first = self.world.rng.random() < 0.5
        if timer_first and self.alive and not self._reads_first:
            self._run_timer()
        while self._inbox and self.alive:
            self._inbox.popleft()()
        if self.alive:
            self._run_timer()

    @property
    def _reads_first(self) -> bool:
        """What has arrived is read before a backup decides."""
        return not self.is_master

    def _forget_process(self) -> None:
        self._inbox.clear()
        self._timer_at = None
        self._ambush = self._interrupted = None
        self._stopping = False
        self._touch()

    def _touch(self) -> None:
        self.epoch += 1
        self._trouble()
