"""A member driven by hand: what its tests feed it, and what it wants done."""

from collections.abc import Callable
from ipaddress import IPv4Address

from carpsidecar.member.actions import (
    Action,
    AddAddresses,
    LeaseRequest,
    Notification,
    RenewAddresses,
    RoleChanged,
    TryAdding,
    TrySending,
)
from carpsidecar.member.member import Member
from carpsidecar.member.takeover import CLAIM_S
from carpsidecar.protocol.effects import Advertise, Settings

OURS = IPv4Address("192.0.2.20")
LOWER, HIGHER = IPv4Address("192.0.2.11"), IPv4Address("192.0.2.30")


class Driven:
    """A member on a machine where all goes well at once, except for renewals: they wait in `renewals`.

    It has been started, and nobody else has the address. Each event returns what was done for it, in order.
    """

    def __init__(self, settings: Settings | None = None, asks: bool = False, started_at: float = 0.0) -> None:
        self.member = Member(settings or Settings(), OURS)
        self.member.takeover.configure(probes=asks, guards=asks)
        self.now = started_at
        self.done: list[Action] = []
        self.renewals: list[RenewAddresses] = []
        self.sends_fail = False
        self.add_failure: OSError | None = None
        self.feed(self.member.start, "")

    def feed(self, event: Callable[..., None], *details: object, at: float | None = None) -> list[Action]:
        self.now = self.now if at is None else at
        event(self.now, *details)
        return self.drain()

    def drain(self, each_takes_s: float = 0.0) -> list[Action]:
        self.done = []
        while (action := self.member.next_action(self.now)) is not None:
            self.done.append(action)
            self.now += each_takes_s
            if isinstance(action, Advertise):
                self.member.sent(self.now, action, not self.sends_fail)
            elif isinstance(action, AddAddresses) and self.add_failure is not None:
                self.member.lease_failed(self.now, action, self.add_failure)
            elif isinstance(action, AddAddresses):
                self.member.lease_confirmed(self.now, action)
            elif isinstance(action, RenewAddresses):
                self.renewals.append(action)
            elif isinstance(action, TrySending):
                self.member.tried(self.now, action, not self.sends_fail)
            elif isinstance(action, TryAdding):
                self.member.tried(self.now, action, self.add_failure is None)
        return self.done

    def timer(self) -> list[Action]:
        """On to the deadline."""
        assert self.member.deadline is not None
        return self.feed(self.member.timer_expired, at=max(self.now, self.member.deadline))

    def take_over(self) -> list[Action]:
        """The claim, and what is done when it stood."""
        claim = self.timer()
        assert words(claim) == ["advertise 1/0"]
        return self.timer()

    def hear(
        self, advbase: int, advskew: int, source: IPv4Address = HIGHER, at: float | None = None
    ) -> list[Action]:
        return self.feed(self.member.advertisement_received, advbase, advskew, 0, source, at=at)

    def answer(self, request: LeaseRequest | None = None, error: OSError | None = None) -> list[Action]:
        """The kernel's answer to this renewal, or to the oldest that waits."""
        request = self.renewals.pop(0) if request is None else request
        if error is None:
            return self.feed(self.member.lease_confirmed, request)
        return self.feed(self.member.lease_failed, request, error)

    def become_master(self) -> "Driven":
        while not self.member.is_master:
            self.timer()
        return self


def driven_master(settings: Settings | None = None) -> Driven:
    """One that has become master at 3 s, with the default settings."""
    return Driven(settings, started_at=-CLAIM_S).become_master()


def words(actions: list[Action]) -> list[str]:
    """What reaches the wire and the kernel, and the roles, in short."""
    found = []
    for action in actions:
        if isinstance(action, Advertise):
            found.append(f"advertise {action.advbase}/{action.advskew}")
        elif isinstance(action, RoleChanged):
            found.append(f"{action.role}: {action.text}")
        elif not isinstance(action, Notification):
            found.append(type(action).__name__.removesuffix("Addresses").lower())
    return found
