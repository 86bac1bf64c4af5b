"""A node of the attacker's worlds: the real member and the real hardened mode, and a kernel, on a clock of its own.

It does with them what `engine.shell` and `engine.group` do. What of it is a machine, and goes on while the process
hangs, is the clock and the kernel.
"""

import pickle
import random
from collections import deque
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from carpsidecar.member.actions import (
    Action,
    AddAddresses,
    AskForAddresses,
    RemoveAddresses,
    RenewAddresses,
    RoleChanged,
    Stalled,
    TryAdding,
    TrySending,
)
from carpsidecar.member.member import Member
from carpsidecar.protocol.auth import Claim
from carpsidecar.protocol.effects import BOW_OUT, Advertise, Settings
from carpsidecar.protocol.freshness import LATENESS_MAX_S, Reply
from carpsidecar.protocol.hardened import Hardened
from carpsidecar.protocol.hardened_packet import HardenedPacket, Kind, Role
from carpsidecar.protocol.keys import KeyRing
from carpsidecar.protocol.packet import Drop, IPAddress
from carpsidecar.protocol.receiver import Receiver

VHID = 4242
OLD, NEW = b"correct horse battery staple", b"Tr0ub4dor&3"
KEY_RINGS = [KeyRing(passphrases) for passphrases in ((OLD, NEW), (NEW, OLD))]
"""In the midst of a rotation: each accepts both."""
VIP = IPv4Address("192.0.2.100")
ADDRESS_LISTS: Sequence[Sequence[IPAddress]] = ([VIP], [VIP, IPv6Address("2001:db8::100")])
INBOX = 200
"""Packets that wait in the socket of a stopped process; more are lost."""
_BOWS_OUT_FOR_S = 1.0
_NEVER = float("inf")


class Wire(Protocol):
    def sent(self, sender: "Node", source: IPAddress, payload: bytes) -> None: ...
    def asked(self, asker: "Node") -> None:
        """Who has the address?"""


class Node:
    """
    Args:
        clock: what its monotonic clock shows when the world's is zero, and how fast it runs.
        both: whether it advertises over both families.
    """

    def __init__(
        self,
        number: int,
        settings: Settings,
        clock: tuple[float, float],
        rng: random.Random,
        both: bool,
        wire: Wire,
    ) -> None:
        self.number = number
        self.sources: list[IPAddress] = [IPv4Address(f"192.0.2.{number + 1}")]
        if both:
            self.sources.append(IPv6Address(f"2001:db8::{9 - number}"))
        self.mac = bytes((2, 0, 0, 0, 0, number))
        self.alive = False
        self.runs_at = 0.0
        """It is not run before this."""
        self.frozen_s = 0.0
        """How long its clock stood still in all."""
        self.touched = True
        """Its deadline may be another one."""
        self.inbox: deque[Callable[[], None]] = deque()
        self.transitions = 0
        self.configuration = rng.choice(KEY_RINGS), rng.choice(ADDRESS_LISTS)
        self._settings = settings
        self._offset_s, self._rate = clock
        self._rng = rng
        self._wire = wire
        self._held_until = 0.0
        self._frozen = False
        self._bows_out_until = -_NEVER
        self._facts: bytes | None = None

    # The machine.

    def clock(self, now: float) -> float:
        return self._offset_s + now * self._rate

    def holds(self, now: float) -> bool:
        """Whether its kernel answers for the address, whatever the process does."""
        return now < self._held_until and not self._frozen

    def step_clock(self, by_s: float) -> None:
        self._offset_s += by_s
        self.touched = True

    def freeze(self) -> None:
        """A virtual machine that its host does not run: time passes, and it never learns that."""
        self._frozen = True

    def thaw(self, frozen_s: float) -> None:
        self._frozen = False
        self.frozen_s += frozen_s
        self._offset_s -= frozen_s * self._rate
        self._held_until += frozen_s
        self._facts = None
        self.touched = True

    def power_off(self) -> None:
        self.die()
        self._held_until = 0.0

    # The process.

    @property
    def is_master(self) -> bool:
        return self.alive and self.member.is_master

    @property
    def frozen(self) -> bool:
        return self._frozen

    @property
    def deadline(self) -> float:
        """In the world's time."""
        member = self.member.deadline
        own = min(_NEVER if member is None else member, self.hardened.deadline)
        return max(self.runs_at, (own - self._offset_s) / self._rate)

    def facts(self, afresh: bool = False) -> bytes:
        """All that a packet could move, to the last timer. Kept until the node itself has done something."""
        if self._facts is None or afresh:
            self._facts = pickle.dumps((self.member, self.hardened.members, self.transitions, self._held_until))
        return self._facts

    def start(self, now: float) -> None:
        local = self.clock(now)
        self.alive, self.runs_at = True, 0.0
        self.member = Member(self._settings, self.sources[0], VHID)
        self.hardened = Hardened(local, VHID, *self.configuration, self._rng.randbytes, f"node{self.number}", "0")
        self._receiver = Receiver()
        self._receiver.add(VHID, self.hardened)
        self._role_since = local
        if now < self._held_until:
            # A run before this one left its addresses.
            self._held_until = 0.0
            self._bows_out_until = local + _BOWS_OUT_FOR_S
            self._advertise(now, BOW_OUT)
        self._feed(now, self.member.start, "")
        self.hardened.start(local)
        self.flush(now)

    def stop(self, now: float) -> None:
        self._feed(now, self.member.stop)
        self._reply(now, Reply(None), Role.STOPPED)
        self.die()

    def die(self) -> None:
        """kill -9: the kernel keeps the addresses until the lease ends."""
        self.alive = False
        self.runs_at = 0.0
        self._bows_out_until = -_NEVER
        self.inbox.clear()

    def step_down(self, now: float) -> None:
        self._feed(now, self.member.step_down)

    def reload(self, now: float) -> None:
        """Other passphrases, other addresses."""
        self.configuration = self._rng.choice(KEY_RINGS), self._rng.choice(ADDRESS_LISTS)
        self.hardened.configure(*self.configuration)
        self._feed(now, self.member.addresses_changed)
        self._feed(now, self.member.reconfigure, self._settings)
        self._reply(now, Reply(None))
        self.flush(now)

    def timer(self, now: float) -> None:
        local = self.clock(now)
        self.touched = True
        if local >= (self.member.deadline or _NEVER):
            self._feed(now, self.member.timer_expired)
        if local >= self.hardened.deadline:
            self._facts = None
            for reply in self.hardened.timer_expired(local):
                self._reply(now, reply)
        self.flush(now)

    def receive(self, now: float, payload: bytes, source: IPAddress) -> Drop | None:
        self.touched = True
        heard = self._receiver.receive(self.clock(now), payload, 255, source)
        if isinstance(heard, Drop):
            return heard
        assert isinstance(heard, HardenedPacket)
        self._facts = None
        if heard.kind == Kind.ADVERTISEMENT:
            received = self.member.advertisement_received
            self._feed(now, received, heard.advbase, heard.advskew, heard.demotion, source)
        return None

    def disagrees(self, now: float, source: IPAddress) -> None:
        """A packet with another digest came from there."""
        self._facts = None
        self.member.disagreed(self.clock(now), source)

    def address_answered(self, now: float, mac: bytes) -> None:
        self._feed(now, self.member.address_answered, VIP, mac)

    def flush(self, now: float) -> None:
        """Send what the last packet asked for."""
        for reply in self.hardened.take_replies():
            self._reply(now, reply)

    # The shell.

    def _feed(self, now: float, event: Callable[..., None], *details: object) -> None:
        local = self.clock(now)
        self._facts = None
        self.touched = True
        event(local, *details)
        while (action := self.member.next_action(local)) is not None:
            self._perform(now, local, action)

    def _perform(self, now: float, local: float, action: Action) -> None:
        match action:
            case Advertise():
                self._advertise(now, action)
                self.member.sent(local, action, ok=True)
            case AddAddresses() | RenewAddresses():
                self._held_until = now + action.lifetime_s * self._rng.uniform(0.9, 1) + self._rng.uniform(0, 0.5)
                self.member.lease_confirmed(local, action)
            case RemoveAddresses():
                self._held_until = 0.0
            case AskForAddresses():
                self._wire.asked(self)
            case TrySending() | TryAdding():
                self.member.tried(local, action, ok=True)
            case RoleChanged():
                self.transitions += 1
                self._role_since = local
            case Stalled(late_s=late_s) if late_s > LATENESS_MAX_S / 2:
                self.hardened.stalled(local)
            case _:
                pass

    def _advertise(self, now: float, advertise: Advertise) -> None:
        claim = Claim(Role[self.member.role.upper()], advertise.advbase, advertise.advskew, self._role_since)
        for source in self.sources:
            self._wire.sent(self, source, self.hardened.advertisement(self.clock(now), source, claim))

    def _reply(self, now: float, reply: Reply, role: Role | None = None) -> None:
        local, election = self.clock(now), self.member.election
        role = Role[self.member.role.upper()] if role is None else role
        advbase, advskew = election.settings.advbase, election.advskew
        if local < self._bows_out_until and role is not Role.MASTER:
            role, advbase, advskew = Role.MASTER, BOW_OUT.advbase, BOW_OUT.advskew
        elif role is Role.MASTER and self.member.lease.may_be_overtaken(local):
            role = Role.BACKUP
        claim = Claim(role, advbase, advskew, self._role_since)
        for source in self.sources:
            if reply.to is None or reply.to.version == source.version:
                self._wire.sent(self, source, self.hardened.reply(local, source, claim, reply))
