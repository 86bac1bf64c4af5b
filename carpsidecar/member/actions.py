"""What a member wants done. The shell performs each in order, and hands the outcome of some back as an event.

Some are for the kernel and the wire; the others (`Notification`) only report what happened, for logs, hooks and
people, and are never taken back.
"""

from dataclasses import dataclass
from typing import Literal

from carpsidecar.protocol.effects import Advertise, Reason
from carpsidecar.protocol.packet import IPAddress

Role = Literal["init", "backup", "master", "fault"]


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """Have the kernel hold the addresses for so long, whether it holds them already or not.

    The outcome is `lease_confirmed` or `lease_failed`, each with the request.
    """

    lifetime_s: int
    until: float
    """When the lease ends at the earliest, where the kernel confirms it."""
    number: int
    """Rises with each request: a late answer is told from one that counts."""


@dataclass(frozen=True, slots=True)
class AddAddresses(LeaseRequest):
    """At once: nothing else is done before the kernel has answered."""


@dataclass(frozen=True, slots=True)
class RenewAddresses(LeaseRequest):
    """Beside everything else: the answer may come late, or when the state is another one."""


@dataclass(frozen=True, slots=True)
class RemoveAddresses:
    """And end the announcements. A renewal that is under way must not come after it."""


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell the segment where the addresses are, now and again."""


@dataclass(frozen=True, slots=True)
class AskForAddresses:
    """Ask the segment who has them, by ARP and neighbour solicitation. Each answer is `address_answered`.

    `every`: all of them; else the first one will do, since a master holds all or none. `shared`: one that any group
    of the same master asks serves all of them, if it is not asked alone. `rank`: what others are to hear who may be
    about to take an address as well; empty where this node is not.
    """

    every: bool
    shared: bool = False
    rank: bytes = b""


@dataclass(frozen=True, slots=True)
class TrySending:
    """Send one advertisement that is for nobody, by the way that all others go. The outcome is `tried`."""


@dataclass(frozen=True, slots=True)
class TryAdding:
    """Add an address that nobody uses to the interface, in each family, and remove it. The outcome is `tried`."""


@dataclass(frozen=True, slots=True)
class RoleChanged:
    """What the role stands for has been done. `text` is the reason in words."""

    role: Role
    reason: Reason
    text: str
    peer: IPAddress | None
    was_master: bool


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """Something that a person would want to know is different."""


@dataclass(frozen=True, slots=True)
class Degraded:
    """Whether the groups that move with this one should hand over."""

    degraded: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """It can't take part in the election. `at_start`: it never could."""

    why: str
    at_start: bool


@dataclass(frozen=True, slots=True)
class Stalled:
    """This machine did not run us for so long: we listen for an interval more."""

    late_s: float


@dataclass(frozen=True, slots=True)
class DemotionChanged:
    """By this much for this cause; 0: no more."""

    cause: str
    amount: int
    text: str


@dataclass(frozen=True, slots=True)
class AddressesLost:
    """Somebody removed these while we are master: they are put back."""

    lost: frozenset[IPAddress]


@dataclass(frozen=True, slots=True)
class AddressesFailed:
    """The kernel does not hold the addresses for us."""

    error: OSError


Notification = (
    RoleChanged | StatusChanged | Degraded | Waiting | Stalled | DemotionChanged | AddressesLost | AddressesFailed
)
Action = (
    Advertise
    | AddAddresses
    | RenewAddresses
    | RemoveAddresses
    | Announce
    | AskForAddresses
    | TrySending
    | TryAdding
    | Notification
)
