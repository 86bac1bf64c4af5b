"""The engine's part between the real protocol and a virtual kernel.

Its duties, in short: perform effects in order; renew a lease only while it has not run out; call the timer at the
deadline or a little late.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from math import inf

from carpsidecar.protocol.auth import Authenticator
from carpsidecar.protocol.effects import Addresses, Advertise, Become, Effects, Settings, State
from carpsidecar.protocol.election import Election
from carpsidecar.protocol.packet import Advertisement, Drop, IPAddress, header, pack
from carpsidecar.protocol.receiver import Receiver
from carpsidecar.protocol.timing import TICKS_PER_S, master_down_ticks
from tests.simulation.kernel import Kernel
from tests.simulation.world import NEVER, World

VHID = 42
PASSPHRASE = b"sesame"
VIPS = (IPv4Address("192.0.2.100"), IPv6Address("2001:db8::100"))
SOCKET_QUEUE = 64
"""Packets that wait in the socket of a stopped process; more are lost."""
EPOCH_S = 1_750_000_000.0

ElectionType = Callable[[Settings, IPAddress], Election]


@dataclass(frozen=True, slots=True)
class Cause:
    """What made an election act, and when."""

    kind: str
    at: float
    heard: Advertisement | None = None
    source: IPAddress | None = None


class Engine:
    """One machine's protocol, kernel and wire. What befalls it is in `node`."""

    def __init__(
        self,
        world: World,
        index: int,
        settings: Settings,
        sources: Sequence[IPAddress],
        hardened: bool,
        election_type: ElectionType = Election,
        checks_lease: bool = True,
    ) -> None:
        self.world = world
        self.index = index
        self.settings = settings
        self.sources = sources
        self.hardened = hardened
        self.kernel = Kernel(world, index)
        self.election = election_type(settings, sources[0])
        self.running = False
        self.hung = False
        self.link_up = self.link_seen = True
        self.sends_fail = False
        self.wall_offset_s = 0.0
        self.was_set_back = False
        """Whether this process began with a lower counter than a former one had come to."""
        self.booted_at = NEVER
        self.caught_up_at: dict[IPAddress, float] = {}
        """Of whom this process has heard something that was sent since it started, and from when on."""
        self.demotion = 0
        self.stepped_down = False
        self.interval_s = self.patience_s = 0.0
        """What it went by when it last decided something."""
        self.advertises_every_s = 0.0
        """The interval that it went by when it last advertised, and that ends with its next advertisement."""
        patience_ticks = master_down_ticks(settings.advbase, settings.advskew, settings.dead_ratio)
        self.shortest_patience_s = patience_ticks / TICKS_PER_S
        """The master-down interval without any demotion."""
        self.troubled_at = NEVER
        self.master_since = self.master_until = NEVER
        self.renewed_at = NEVER
        self.epoch = 0
        """Rises with every start, stop and wake, so that a late check knows whether it still applies."""
        self._election_type = election_type
        self._checks_lease = checks_lease
        self._receiver = Receiver()
        self._authenticator: Authenticator
        self._sure_until = 0.0
        self._look_at: float | None = None
        self._was_master = False
        self._last_counter = 0
        self._timer_at: float | None = None
        self._inbox: deque[Callable[[], None]] = deque()
        self._ambush: tuple[int, Callable[[], None]] | None = None
        self._interrupted: tuple[Sequence[object], Cause] | None = None

    def __str__(self) -> str:
        return f"node {self.index}"

    @property
    def alive(self) -> bool:
        return self.running and not self.hung

    @property
    def can_be_heard(self) -> bool:
        return self.alive and self.link_up and not self.sends_fail

    @property
    def is_master(self) -> bool:
        return self.running and self.election.state is State.MASTER

    def packet_arrives(self, payload: bytes, source: IPAddress, sent_at: float) -> None:
        if not self.running:
            return
        if self.hung:
            if len(self._inbox) < SOCKET_QUEUE:
                self._inbox.append(partial(self._hear, payload, source, sent_at))
            return
        self._hear(payload, source, sent_at)

    def _cause(self, kind: str, heard: Advertisement | None = None, source: IPAddress | None = None) -> Cause:
        return Cause(kind, self.world.now, heard, source)

    def _hear(self, payload: bytes, source: IPAddress, sent_at: float) -> None:
        if not self.running:
            return
        heard = self._receiver.receive(payload, 255, source)
        if isinstance(heard, Drop):
            self.world.say("{} drops a packet from {}: {}", self, source, heard)
            if heard is Drop.REPLAY:
                self._disbelieve(source)
            return
        if sent_at >= self.booted_at:
            self.caught_up_at.setdefault(source, self.world.now)
        effects = self.election.advertisement_received(
            self.world.now, heard.advbase, heard.advskew, heard.demotion, source
        )
        cause = self._cause("packet", heard, source)
        self.world.monitor.heard(self, cause)
        self._act(cause, effects)

    def _disbelieve(self, source: IPAddress) -> None:
        """A machine that starts with its counter set back is believed only after it has heard us once."""
        sender = next(n for n in self.world.nodes if source in n.sources)
        heard_us_at = min(sender.caught_up_at.get(s, inf) for s in self.sources)
        if sender.was_set_back and self.world.now < heard_us_at + 2 * self.world.calm.delay_max_s:
            self.world.trouble(sender.index, self.index)

    def _link_seen(self) -> None:
        if self.hung:
            self._inbox.append(self._link_seen)
        elif self.running:
            self._trouble()
            self.link_seen = self.link_up
            self._act(self._cause("link"), self.election.link_changed(self.world.now, self.link_up))
            if self.alive:
                self.world.monitor.link_seen(self)

    def _timer(self, armed_for: float) -> None:
        if armed_for != self._timer_at:
            return
        self._timer_at = None
        if self.alive:
            self._run_timer()

    def _run_timer(self) -> None:
        look_at, self._look_at = self._look_at, None
        if look_at is not None and self.world.now - look_at > self.election.interval_s / 2:
            self._act(self._cause("timer"), self.election.stalled(self.world.now))
            return
        self._act(self._cause("timer"), self.election.timer_expired(self.world.now))

    def _act(self, cause: Cause, effects: Effects | Sequence[object]) -> None:
        if not effects:
            if cause.kind == "timer":
                self.world.monitor.settled(self, cause)
            self._arm()
            return
        # Sending may fail, and so change what the election goes by from then on.
        advskew = self.election.advskew
        self.interval_s, self.patience_s = self.election.interval_s, self.election.master_down_s
        for done, effect in enumerate(effects):
            if self._ambush is not None and self._ambushed():
                if self.hung:
                    self._interrupted = (effects[done:], cause)
                return
            if not self._perform(cause, effect):
                return
        self._sure_until = self.election.lease_until
        if self.election.advskew != advskew:
            self._trouble()
        self.world.monitor.settled(self, cause)
        self._arm()

    def _perform(self, cause: Cause, effect: object) -> bool:
        """Whether to go on with the effects that follow."""
        election, now = self.election, self.world.now
        if isinstance(effect, Advertise):
            if self._was_master and self.is_master and self._overtaken:
                self._act(self._cause("lease"), election.lease_missed(now))
                return False
            if self.advertises_every_s != self.interval_s:
                self._trouble()
            self.advertises_every_s = self.interval_s
            election.advertisement_sent(self._transmit(effect))
        elif isinstance(effect, Become):
            self._was_master = self.is_master
            self.world.monitor.became(self, effect, cause)
        elif effect is Addresses.RENEW:
            if self._overtaken:
                self._act(self._cause("lease"), election.lease_missed(now))
                return False
            self.world.monitor.renews(self)
            self._lease(cause)
        elif effect is Addresses.TAKE:
            self._lease(cause)
        elif effect is Addresses.RELEASE:
            self.kernel.remove()
        return True

    def _lease(self, cause: Cause) -> None:
        self.renewed_at = cause.at
        self.kernel.lease(self.election.lifetime_s)

    @property
    def _overtaken(self) -> bool:
        """Stopped in the middle, for so long that somebody may have taken over."""
        return self._checks_lease and self.world.now >= self._sure_until

    @property
    def _wall_clock_us(self) -> int:
        return int((EPOCH_S + self.world.now + self.wall_offset_s) * 1e6)

    def _transmit(self, advertise: Advertise) -> bool:
        world = self.world
        if self.sends_fail:
            self._trouble()
            return False
        world.monitor.advertises(self)
        world.say("{} advertises {}/{}", self, advertise.advbase, advertise.advskew)
        authenticator = self._authenticator
        head = header(authenticator.version, VHID, advertise.advskew, advertise.advbase)
        for source in self.sources:
            counter = authenticator.next_counter(self._wall_clock_us)
            self._last_counter = max(self._last_counter, int.from_bytes(counter, "big"))
            world.broadcast(self, pack(head, counter, authenticator.digest(head, source, counter)), source)
        return True

    def _arm(self) -> None:
        """One pending timer; a deadline that moved away is found out when the old one fires early."""
        deadline = self.election.deadline
        if deadline is None or not self.alive:
            return
        look_at = deadline - self.election.interval_s
        self._look_at = None
        if self.election.state is State.BACKUP and look_at > self.world.now:
            deadline = self._look_at = look_at
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
