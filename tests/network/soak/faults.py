"""Which faults strike, when, whom and for how long: all of it follows from the seed and the holder at that time."""

import random
from dataclasses import dataclass

from tests.network.soak.facts import Kind
from tests.network.soak.machine import CLOCK_CAN_BE_SET
from tests.network.soak.scene import Scene

_PROCESS = {Kind.KILL, Kind.HANG, Kind.STOP, Kind.RELOAD, Kind.ASK}
_LINK = {Kind.CABLE, Kind.CUT_OFF, Kind.DEAF, Kind.MUTE, Kind.LOSSY, Kind.INTERFACE}
_ENDS_THE_DAEMON = {Kind.KILL, Kind.STOP}
_LATEST_BEGIN_S = 2.0
_CLOCK_MAX_S = 7200.0


@dataclass(frozen=True)
class Fault:
    kind: Kind
    nodes: frozenset[str]
    begin_s: float
    length_s: float
    detail: float = 0.0
    """Of LOSSY the per cent, of CLOCK the seconds, of RELOAD which change, of an advskew the new one."""

    @property
    def place(self) -> tuple[str, frozenset[str]]:
        """Two faults in one place would undo each other."""
        if self.kind in _PROCESS:
            return "process", self.nodes
        if self.kind in _LINK:
            return "link", self.nodes
        if self.kind is Kind.HALVES:
            return "switch", frozenset()
        return self.kind, self.nodes


def choose(rng: random.Random, scene: Scene, holder: str | None) -> list[Fault]:
    """One to three faults that do not get in each other's way; half of them strike the holder."""
    count = rng.choice((1, 1, 2, 2, 3))
    chosen: list[Fault] = []
    while len(chosen) < count:
        fault = _one(rng, scene, holder)
        if fault.place not in {other.place for other in chosen}:
            chosen.append(fault)
    return chosen


def _one(rng: random.Random, scene: Scene, holder: str | None) -> Fault:
    kinds = [kind for kind in Kind if CLOCK_CAN_BE_SET or kind is not Kind.CLOCK]
    kind = rng.choice(kinds)
    node = rng.choice(scene.names)
    if holder and rng.random() < 0.5:
        node = holder
    if kind in _ENDS_THE_DAEMON and node == scene.elder:
        kind = Kind.HANG
    nodes = frozenset(rng.sample(scene.names, 2)) if kind is Kind.HALVES else frozenset({node})
    shortest_s, longest_s = scene.fault_s
    length_s = (
        shortest_s * (longest_s / shortest_s) ** rng.random()
        if rng.random() < 0.4
        else (rng.uniform(shortest_s, longest_s))
    )
    detail = {
        Kind.LOSSY: rng.uniform(5, 70),
        Kind.CLOCK: rng.uniform(-_CLOCK_MAX_S, _CLOCK_MAX_S),
        Kind.RELOAD: rng.random(),
    }.get(kind, 0.0)
    return Fault(kind, nodes, rng.uniform(0, _LATEST_BEGIN_S), length_s, detail)


def another_advskew(rng: random.Random, scene: Scene, taken: set[int]) -> int:
    """Not within four of another node's, so that it is clear who is better."""
    free = [
        s for s in range(scene.advskew_min, scene.advskew_max + 1) if all(abs(s - other) > 4 for other in taken)
    ]
    return rng.choice(free)
