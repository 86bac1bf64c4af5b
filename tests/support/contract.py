"""What is promised about who holds an address, in numbers: the simulator and the soak's judge go by these.

1. Two nodes that both run and hear each other hold the address together for no longer than the shorter of their
   intervals.
2. The address of a node whose engine was killed or hangs is gone within its lifetime and half a second. Where the
   backups wait longer than that, it is shared with nobody. Where it is fenced, the node is silent before a
   backup as patient as itself may take over: two never answer for it.
3. A network that is left in peace has one holder within the longest master-down interval and one takeover wait.

`slack_s` is what the machine and the network under test may add.
"""

from collections.abc import Iterable

from carpsidecar.member import claim_guard
from carpsidecar.member.takeover import CLAIM_S

KERNEL_LATE_S = 0.5
"""Linux drops an address up to so much after its lifetime: seen on 6.18, 1 s after 0.9 s, 2 s after 2.4 s."""

TAKEOVER_WAIT_MAX_S = 255 * 100e-6 + 2 * CLAIM_S
"""After a bow-out: by advskew, and for its claim to stand, or a better one that comes meanwhile."""
ASKING_S = claim_guard.QUESTIONS * claim_guard.GAP_S
"""After silence: for an answer of somebody who has the address."""
TIMERS_OF_A_TAKEOVER = 5
"""Each may be late."""


def both_hold_max_s(one_interval_s: float, other_interval_s: float, slack_s: float) -> float:
    return min(one_interval_s, other_interval_s) + slack_s


def gone_within_s(lifetime_s: float, slack_s: float = 0.0) -> float:
    """After the engine was killed or stopped, counted from its last renewal at the latest."""
    return lifetime_s + KERNEL_LATE_S + slack_s


def outlives_its_lease(master_down_s: float, lifetime_s: float) -> bool:
    """Whether a backup with this patience takes over only when the dead master's address is gone."""
    return gone_within_s(lifetime_s) <= master_down_s


def settled_within_s(master_down_s: Iterable[float], slack_s: float) -> float:
    """After the last fault, by the patience of all that run."""
    return max(master_down_s, default=0.0) + ASKING_S + TAKEOVER_WAIT_MAX_S + slack_s
