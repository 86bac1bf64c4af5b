"""What goes into the election and what comes out: settings, states with their reasons, and effects."""

from collections.abc import Sequence
from enum import Enum, StrEnum
from typing import NamedTuple

from carpsidecar.protocol.packet import IPAddress
from carpsidecar.protocol.timing import BOW_OUT_ADVBASE, BOW_OUT_ADVSKEW


class State(StrEnum):
    INIT = "init"
    BACKUP = "backup"
    MASTER = "master"


class Reason(StrEnum):
    """Why the state changed, as people read it."""

    STARTED = "started"
    LINK_BACK = "the link is back"
    MASTER_SILENT = "no advertisement from the master"
    MASTER_GONE = "the master is silent, and nobody answers for the address"
    PREEMPTED = "preempting a slower master"
    MASTER_BOWED_OUT = "the master bowed out"
    MASTER_TOO_SLOW = "the master advertises too slowly"
    MASTER_DEMOTED = "the master is demoted"
    PROMOTED = "promoted"
    BETTER_MASTER = "a better master advertises"
    ADDRESS_IN_USE = "the address is in use by another machine"
    MASTER_HEARD = "a master advertises"
    ADDRESS_PRESENT = "the address is on this node, which is not master"
    ADDRESS_ABSENT = "the address is off this node again"
    LEASE_MISSED = "the lease ran out before it was renewed"
    LINK_LOST = "the link is lost"
    DEMOTED = "demoted"
    STEP_DOWN = "asked to step down"
    STOPPED = "stopped"


class PromotionBlocker(Enum):
    """What keeps a group from being promoted."""

    INIT = "it takes no part in the election"
    DEMOTED = "it is demoted"
    SLOWER = "it can't advertise faster than the master does"
    IN_USE = "another machine uses its address"


class Settings(NamedTuple):
    """What a group advertises: advbase in seconds, advskew in 1/256 s, patience in advertisements."""

    advbase: int = 1
    advskew: int = 0
    dead_ratio: int = 3
    preempt: bool = False
    starts_soon: bool = False
    """A member that starts waits for START_S, not for its patience: where a master answers whoever starts, as in
    the hardened mode, and where the address is asked for before it is taken."""


class Advertise(NamedTuple):
    """Send an advertisement that says this."""

    advbase: int
    advskew: int


class Become(NamedTuple):
    """The state is now this one. Always the last effect: what it stands for has been done."""

    state: State
    reason: Reason
    peer: IPAddress | None = None


class Addresses(Enum):
    """Do this with the group's addresses."""

    TAKE = "take"
    RENEW = "renew"
    RELEASE = "release"
    ANNOUNCE = "announce"


Effect = Advertise | Become | Addresses
Effects = Sequence[Effect]

BOW_OUT = Advertise(BOW_OUT_ADVBASE, BOW_OUT_ADVSKEW)
