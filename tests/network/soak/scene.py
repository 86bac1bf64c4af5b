"""What a network under test is set to, and the times that follow from it, by the documentation's own formulas."""

from dataclasses import dataclass

from carpsidecar.engine.fencing import LEASE_SUFFICES_S
from tests.support import contract, realtime

TICKS_PER_S = 256
DEAD_RATIO = 3
VHID = 42

ALLOWANCE_S = 0.25
"""What a loaded machine of two cores may add to anything."""

ARP_ALLOWANCE_S = 1.0
"""Until the client has learnt from an announcement where the address is."""

ARP_ASKED_ANEW_S = 9.0
"""Until it has asked anew: it trusts what it knows for 5 s more and then asks for it three times, a second apart
(arp(7), delay_first_probe_time and ucast_solicit)."""


@dataclass(frozen=True)
class Scene:
    """One network: its machines are n1, n2, … with these advskews, and preempt."""

    name: str
    advbase: int
    auth: str
    advskews: tuple[int, ...]
    advskew_max: int
    fault_s: tuple[float, float]
    quiet_s: tuple[float, float]
    advskew_min: int = 0
    realtime: bool = False
    vip: str = "10.99.0.100"

    @property
    def names(self) -> list[str]:
        return [f"n{number}" for number in range(1, len(self.advskews) + 1)]

    @property
    def elder(self) -> str:
        """This one's daemon is never ended, so that its memory can be judged."""
        return self.names[1]

    def interval_s(self, advskew: int) -> float:
        return self.advbase + advskew / TICKS_PER_S

    def master_down_s(self, advskew: int) -> float:
        return (DEAD_RATIO * self.advbase) + advskew / TICKS_PER_S * (1 if self.advbase else DEAD_RATIO)

    def lifetime_s(self, advskew: int) -> int:
        return max(1, int(self.master_down_s(advskew)) - 1)

    def settled_within_s(self, advskews: list[int]) -> float:
        """How long after the last fault's end one machine, the right one, holds the address."""
        return contract.settled_within_s(map(self.master_down_s, advskews), ALLOWANCE_S)

    @property
    def is_fenced(self) -> bool:
        """Whether a dead master falls silent to the millisecond, and not only when the kernel drops its address."""
        return self.master_down_s(0) < LEASE_SUFFICES_S

    @property
    def outlives_its_lease(self) -> bool:
        """Whether every backup is more patient than a dead master's lease is long."""
        advskews = range(self.advskew_max + 1)
        return contract.outlives_its_lease(self.master_down_s(0), max(map(self.lifetime_s, advskews)))


SCENES = (
    Scene("hardened", 1, "hardened", (0, 40, 80, 120), 200, fault_s=(0.05, 8), quiet_s=(3, 6)),
    # With less, a busy test machine would be to blame, unless it runs the daemons first.
    Scene("fast", 0, "carp", (20, 40, 60, 80), 110, fault_s=(0.03, 4), quiet_s=(2, 4), advskew_min=20),
)
FASTEST = Scene(
    "fastest", 0, "carp", (4, 9, 14), 30, fault_s=(0.02, 2), quiet_s=(2, 4), advskew_min=4, realtime=True
)
"""As docs/tuning.md recommends."""


def scenes() -> tuple[Scene, ...]:
    """All for which this machine can be had."""
    return (*SCENES, FASTEST) if realtime.can_be_had() else SCENES
