"""What a member wants done. The shell performs each in order, and hands the outcome of some back as an event.

Some are for the kernel and the wire; the others (`Notification`) only report what happened, for logs, hooks and
people, and are never taken back.
"""

from typing import Literal

from msgspec import Struct

from carpsidecar.protocol.effects import Advertise, Reason
from carpsidecar.protocol.packet import IPAddress

Role = Literal["init", "backup", "master", "fault"]


class LeaseRequest(Struct, frozen=True):
    """Have the kernel hold the addresses for so long, whether it holds them already or not.

    The outcome is `lease_confirmed` or `lease_failed`, each with the request.
    """

    lifetime_s: int
    until: float
    """When the lease ends at the earliest, where the kernel confirms it."""
    number: int
    """Rises with each request: a late answer is told from one that counts."""


class AddAddresses(LeaseRequest, frozen=True):
    """At once: nothing else is done before the kernel has answered."""


class RenewAddresses(LeaseRequest, frozen=True):
    """Beside everything else: the answer may come late, or when the state is another one."""


class RemoveAddresses(Struct, frozen=True):
    """And end the announcements. A renewal that is under way must not come after it."""


class Announce(Struct, frozen=True):
    """Tell the segment where the addresses are, now and again."""


class AskForAddresses(Struct, frozen=True):
    """Ask the segment who has them, by ARP and neighbour solicitation. Each answer is `address_answered`.

    `every`: all of them; else the first one will do, since a master holds all or none. `shared`: one that any group
    of the same master asks serves all of them, if it is not asked alone. `rank`: what others are to hear who may be
    about to take an address as well; empty where this node is not.
    """

    every: bool
    shared: bool = False
    rank: bytes = b""


class TrySending(Struct, frozen=True):
    """Send one advertisement that is for nobody, by the way that all others go. The outcome is `tried`."""


class TryAdding(Struct, frozen=True):
    """Add an address that nobody uses to the interface, in each family, and remove it. The outcome is `tried`."""


class RoleChanged(Struct, frozen=True):
    """What the role stands for has been done. `text` is the reason in words."""

    role: Role
    reason: Reason
    text: str
    peer: IPAddress | None
    was_master: bool


class StatusChanged(Struct, frozen=True):
    """Something that a person would want to know is different."""


class Degraded(Struct, frozen=True):
    """Whether the groups that move with this one should hand over."""

    degraded: bool


class Waiting(Struct, frozen=True):
    """It can't take part in the election. `at_start`: it never could."""

    why: str
    at_start: bool


class Stalled(Struct, frozen=True):
    """This machine did not run us for so long: we listen for an interval more."""

    late_s: float


class DemotionChanged(Struct, frozen=True):
    """By this much for this cause; 0: no more."""

    cause: str
    amount: int
    text: str


class AddressesLost(Struct, frozen=True):
    """Somebody removed these while we are master: they are put back."""

    lost: frozenset[IPAddress]


class AddressesFailed(Struct, frozen=True):
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
