"""False takeovers by advertisement interval, with and without load, with and without real-time priority.

Nothing is wrong with the master, so each takeover is a false one: something kept it, or its backup, from running in
time. In the sweep the backup is as fast as the master, and the groups of one pair differ in their patience only,
and share stalls. Before it, for ten minutes under load, what most use and what is recommended as the fastest.
"""

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import quantiles

from bench.engine import Engine, Settings, became, write_config
from bench.load import Load, late_by_itself, loaded
from bench.section import Section, Summary
from bench.stability_report import body, for_tuning, plot
from bench.systems import EVERY_SECOND, FASTEST, Timing
from carpsidecar.ipc.messages import GroupCounters
from carpsidecar.lab.network import Lab
from tests.support.tap import Tap

Condition = tuple[Load, bool]
"""The load, and whether with real-time priority."""

CONDITIONS: tuple[Condition, ...] = (
    ("idle", False),
    ("busy", False),
    ("busy", True),
    ("changing", False),
    ("changing", True),
)
ADVSKEWS = (1, 2, 4, 10)
DEAD_RATIOS = tuple(sorted({2, 3, 10, FASTEST.dead_ratio}))
_SECONDS, _LONG_SECONDS = 30, 600
_MASTER_WITHIN_S = 20.0


@dataclass(frozen=True)
class Trial:
    """One setting under one load. Times in seconds; `late` is by how much a gap exceeded the interval, and
    `machine_late_most_s` how late the timer was of a real-time process that did nothing else."""

    load: Load
    realtime: bool
    advbase: int
    advskew: int
    dead_ratio: int
    patience_s: float
    seconds: float
    takeovers: int
    lease_misses: int
    advertisements: int
    late_median_s: float
    late_most_s: float
    machine_late_most_s: float
    machine_load: float

    @property
    def interval_s(self) -> float:
        return self.advbase + self.advskew / 256


@dataclass(frozen=True)
class Stability:
    sweep: list[Trial]
    long: list[Trial]


def section(quick: bool) -> Section:
    seconds, long_s = (3, 10) if quick else (_SECONDS, _LONG_SECONDS)
    long = long_watch(long_s)
    return render(Stability(sweep(seconds, ADVSKEWS[::2] if quick else ADVSKEWS), long))


def render(stability: Stability) -> Section:
    drawing = plot(stability.sweep)
    text = for_tuning(stability)
    return Section(
        *("No false takeovers", body(stability), asdict(stability), {"stability": drawing}),
        summaries=[Summary("docs/tuning.md", "stability", text)],
    )


def sweep(seconds: float, advskews: Sequence[int]) -> list[Trial]:
    trials = []
    for load, realtime in CONDITIONS:
        for advskew in advskews:
            timings = [Timing(0, (advskew, advskew), ratio, realtime) for ratio in DEAD_RATIOS]
            trials += watch(load, [timings], seconds)
    return trials


def long_watch(seconds: float) -> list[Trial]:
    """Every processor busy, and containers come and go: an advertisement a second, and the fastest setting."""
    return watch("changing", [[EVERY_SECOND], [FASTEST]], seconds)


def watch(load: Load, pairs: Sequence[Sequence[Timing]], seconds: float) -> list[Trial]:
    """A master and a backup for each list, with a group for each of its timings: how often the address moved."""
    with ExitStack() as stack:
        lab = stack.enter_context(Lab())
        started = [_Pair(stack, lab, number, timings) for number, timings in enumerate(pairs)]
        tap = stack.enter_context(Tap(lab.node("witness"), [node for pair in started for node in pair.nodes]))
        stack.enter_context(loaded(load))
        before = [pair.counters() for pair in started]
        since_s = time.time()
        machine_late_most_s = late_by_itself(seconds)
        until_s = time.time()
        after = [pair.counters() for pair in started]
        trials = []
        for pair, old_ones, new_ones in zip(started, before, after, strict=True):
            for timing, group in zip(pair.timings, pair.groups, strict=True):
                counts = [(old[group.name], new[group.name]) for old, new in zip(old_ones, new_ones, strict=True)]
                late = [max(0.0, gap - timing.interval_s) for gap in _gaps(tap, group.vhid, since_s, until_s)]
                trials.append(
                    Trial(
                        *(load, timing.realtime, timing.advbase, timing.advskews[0], timing.dead_ratio),
                        *(timing.patience_s, seconds),
                        takeovers=sum(_takeovers(new) - _takeovers(old) for old, new in counts),
                        lease_misses=sum(new.lease_misses - old.lease_misses for old, new in counts),
                        advertisements=len(late) + 1,
                        late_median_s=quantiles(late, n=2)[0] if len(late) > 1 else 0.0,
                        late_most_s=max(late, default=0.0),
                        machine_late_most_s=machine_late_most_s,
                        machine_load=os.getloadavg()[0],
                    )
                )
        return trials


class _Pair:
    """Two nodes, of which the first is master of all groups; a vhid is used once in the lab."""

    def __init__(self, stack: ExitStack, lab: Lab, number: int, timings: Sequence[Timing]) -> None:
        self.timings = timings
        self.nodes = [lab.node(f"{name}{number}") for name in ("first", "second")]
        self._engines = []
        for rank, node in enumerate(self.nodes):
            groups = [_group(1 + 20 * number + place, timing, rank) for place, timing in enumerate(timings)]
            file = write_config(lab.directory / f"{node.name}.yaml", groups)
            flags = ["--config", str(file), *(["--realtime"] if timings[0].realtime else [])]
            engine = stack.enter_context(Engine(node, flags))
            self._engines.append(engine)
            if rank == 0:
                self.groups = groups
                for group in groups:
                    engine.wait_for_change(became("master", group.name), _MASTER_WITHIN_S)

    def counters(self) -> list[dict[str, GroupCounters]]:
        """Of both nodes."""
        return [engine.next_heartbeat(60).counters for engine in self._engines]


def _group(vhid: int, timing: Timing, rank: int) -> Settings:
    return Settings(vhid, advbase=timing.advbase, advskew=timing.advskews[rank], dead_ratio=timing.dead_ratio)


def _gaps(tap: Tap, vhid: int, since_s: float, until_s: float) -> list[float]:
    """Between the group's advertisements, whoever sent them."""
    at = [frame.at_s for frame in tap.advertisements if since_s <= frame.at_s <= until_s and frame.vhid == vhid]
    return [later - earlier for earlier, later in pairwise(at)]


def _takeovers(count: GroupCounters) -> int:
    return sum(count.transitions.get("master", {}).values())
