"""What is known from outside of one round: faults with their times, and who held the address when."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from math import inf

from carpsidecar.lab.holders import Change


class Kind(StrEnum):
    KILL = "killed (-9)"
    HANG = "hung"
    STOP = "stopped"
    CABLE = "cable pulled"
    CUT_OFF = "cut off"
    HALVES = "parted into halves"
    DEAF = "incoming lost"
    MUTE = "outgoing lost"
    LOSSY = "a fraction lost"
    INTERFACE = "interface deleted"
    RELOAD = "reloaded"
    REMOVE = "address removed by hand"
    ASK = "asked to step down (USR2)"
    CLOCK = "clock set"


DEAD = {Kind.KILL, Kind.HANG, Kind.STOP}
APART = {Kind.CABLE, Kind.CUT_OFF, Kind.HALVES, Kind.DEAF, Kind.MUTE, Kind.LOSSY, Kind.INTERFACE}
CHANGED = {Kind.RELOAD}


Span = tuple[float, float]


@dataclass
class Trouble:
    """From before the fault was begun until after it was undone. The nodes of HALVES are one of the halves."""

    kind: Kind
    nodes: frozenset[str]
    begin: float
    end: float = inf
    undone_from: float = inf
    """When its end was begun."""
    detail: str = ""
    struck: float = -inf
    """When it was done: a busy machine takes its time to pull a cable, too."""
    waited_s: float = 0.0
    """For how long its nodes' daemons waited for a processor meanwhile."""

    def strikes(self, one: str, other: str) -> bool:
        """Whether meanwhile one of these two is not well, or they can't hear each other."""
        if self.kind is Kind.HALVES:
            return (one in self.nodes) != (other in self.nodes)
        return self.kind in DEAD | APART | CHANGED and bool(self.nodes & {one, other})

    def __str__(self) -> str:
        return f"{', '.join(sorted(self.nodes))} {self.kind}{self.detail}"


@dataclass
class Facts:
    """One round, from `begin` to `end`; all faults are undone at `healed`."""

    begin: float
    troubles: list[Trouble] = field(default_factory=list)
    healed: float = inf
    end: float = inf
    changes: Sequence[Change] = ()
    intervals_s: dict[str, float] = field(default_factory=dict)
    """The longest in this round, of each node."""
    lifetimes_s: dict[str, int] = field(default_factory=dict)
    silent_s: dict[str, float] = field(default_factory=dict)
    """How long after its last advertisement a node answers for the address no longer, where it is fenced."""
    answers: dict[str, list[Span]] = field(default_factory=dict)
    """When each node answered for the address, asked by a third machine."""
    advskews: dict[str, int] = field(default_factory=dict)
    """At the end."""
    asked: dict[str, float] = field(default_factory=dict)
    """When a node was last asked to step down, since it was last started."""

    def active(self, at: float, around_s: float = 0.0) -> list[Trouble]:
        return [t for t in self.troubles if t.begin - around_s <= at <= t.end + around_s]

    def holders(self, at: float) -> set[str]:
        return {node for node, spans in self.holdings().items() if any(s <= at < e for s, e in spans)}

    def holdings(self) -> dict[str, list[Span]]:
        """When each node held the address, within this round."""
        since: dict[str, float] = {}
        found: dict[str, list[Span]] = {name: [] for name in self.advskews}
        for change in self.changes:
            if change.at > self.end:
                break
            if change.held:
                since.setdefault(change.node, max(self.begin, change.at))
            elif (start := since.pop(change.node, None)) is not None and change.at > self.begin:
                found[change.node].append((max(self.begin, start), change.at))
        for node, start in since.items():
            found[node].append((start, self.end))
        return found


def overlap(one: Span, other: Span) -> Span | None:
    start, end = max(one[0], other[0]), min(one[1], other[1])
    return (start, end) if start < end else None


def pieces(span: Span, troubles: Sequence[Trouble]) -> Iterator[tuple[Span, list[Trouble]]]:
    """The span cut where a trouble begins or ends, each piece with the troubles in it."""
    cuts = sorted({*span, *(at for t in troubles for at in (t.begin, t.end) if span[0] < at < span[1])})
    for start, end in pairwise(cuts):
        yield (start, end), [t for t in troubles if t.begin <= start and end <= t.end]
