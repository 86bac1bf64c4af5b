"""A node of the attacker's worlds: the real election and the real hardened mode, on a clock of its own."""

import random
from collections.abc import Callable
from ipaddress import IPv4Address

from carpsidecar.protocol.auth import Claim
from carpsidecar.protocol.effects import Addresses, Advertise, Become, Effects, Settings, State
from carpsidecar.protocol.election import Election
from carpsidecar.protocol.freshness import Reply
from carpsidecar.protocol.hardened import Hardened
from carpsidecar.protocol.hardened_packet import Kind, Role
from carpsidecar.protocol.keys import KeyRing
from carpsidecar.protocol.packet import Drop

VHID = 4242
KEYS = KeyRing([b"correct horse battery staple"])
VIPS = [IPv4Address("192.0.2.100")]
_ROLES = {State.INIT: Role.INIT, State.BACKUP: Role.BACKUP, State.MASTER: Role.MASTER}

Make = Callable[..., Hardened]


class Node:
    """
    Args:
        make: what makes the hardened mode, so that a mutant may take its place.
        clock: what its monotonic clock shows when the world's is zero, and how fast it runs.
        send: puts a payload onto the wire.
    """

    def __init__(
        self,
        number: int,
        settings: Settings,
        clock: tuple[float, float],
        rng: random.Random,
        make: Make,
        send: Callable[["Node", bytes], None],
    ) -> None:
        self.number = number
        self.source = IPv4Address(f"192.0.2.{number + 1}")
        self.alive = False
        self.runs_at = 0.0
        """It is not run before this."""
        self.transitions = 0
        self._settings = settings
        self._offset_s, self._rate = clock
        self._rng = rng
        self._make = make
        self._send = send

    @property
    def is_master(self) -> bool:
        return self.alive and self.election.state is State.MASTER

    def clock(self, now: float) -> float:
        return self._offset_s + now * self._rate

    @property
    def deadline(self) -> float:
        """In the world's time."""
        own = min(self.election.deadline or float("inf"), self.hardened.deadline)
        return max(self.runs_at, (own - self._offset_s) / self._rate)

    @property
    def election_facts(self) -> tuple[object, ...]:
        """All that a packet could move."""
        election = self.election
        return (
            election.state,
            election.reason,
            election.deadline,
            election.lease_until,
            election.advskew,
            dict(election._followed),
            election._followed_ticks,
            self.transitions,
            repr(self.hardened.members),
        )

    def start(self, now: float) -> None:
        local = self.clock(now)
        self.alive = True
        self.since_s = local
        self.election = Election(self._settings, self.source)
        self.hardened = self._make(local, VHID, KEYS, VIPS, self._rng.randbytes, f"node{self.number}", "0")
        self._perform(now, self.election.start(local, link_up=True))
        self.hardened.start(local)
        self._send_replies(now, self.hardened.take_replies())

    def stop(self, now: float) -> None:
        self._perform(now, self.election.stop(self.clock(now)))
        self.alive = False

    def die(self) -> None:
        self.alive = False

    def stall(self, now: float, duration_s: float) -> None:
        self.runs_at = max(self.runs_at, now + duration_s)

    def wake(self, now: float) -> None:
        """It runs again after a stall that it notices."""
        local = self.clock(now)
        self.hardened.stalled(local)
        if self.election.state is State.MASTER and local >= self.election.lease_until:
            self._perform(now, self.election.lease_missed(local))
        self._perform(now, self.election.stalled(local))
        self._send_replies(now, self.hardened.take_replies())

    def timer(self, now: float) -> None:
        local = self.clock(now)
        if local >= (self.election.deadline or float("inf")):
            self._perform(now, self.election.timer_expired(local))
        if local >= self.hardened.deadline:
            self._send_replies(now, self.hardened.timer_expired(local))

    def receive(self, now: float, payload: bytes, source: IPv4Address) -> Drop | None:
        local = self.clock(now)
        heard = self.hardened.receive(local, payload, source)
        if not isinstance(heard, Drop) and heard.kind == Kind.ADVERTISEMENT:
            effects = self.election.advertisement_received(local, heard.advbase, heard.advskew, 0, source)
            self._perform(now, effects)
        return heard if isinstance(heard, Drop) else None

    def flush(self, now: float) -> None:
        """Send what the last packet asked for."""
        self._send_replies(now, self.hardened.take_replies())

    def _perform(self, now: float, effects: Effects) -> None:
        for effect in effects:
            if isinstance(effect, Advertise):
                claim = self._claim()._replace(advbase=effect.advbase, advskew=effect.advskew)
                self._send(self, self.hardened.advertisement(self.clock(now), self.source, claim))
            elif isinstance(effect, Become):
                self.transitions += 1
                self.since_s = self.clock(now)
            else:
                assert isinstance(effect, Addresses)

    def _send_replies(self, now: float, replies: list[Reply]) -> None:
        for reply in replies:
            self._send(self, self.hardened.reply(self.clock(now), self.source, self._claim(), reply))

    def _claim(self) -> Claim:
        return Claim(_ROLES[self.election.state], self._settings.advbase, self.election.advskew, self.since_s)
