"""False takeovers by advertisement interval, with and without load, with and without real-time priority.

Nothing is wrong with the master, so each takeover is a false one: something kept it, or its backup, from running in
time. In the sweep the backup is as fast as the master, and the groups of one pair differ in their patience only,
and share stalls. Then the recommended setting, as it is recommended, for ten minutes under load.
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
from bench.systems import FASTEST, Timing
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
        return self.advskew / 256


@dataclass(frozen=True)
class Stability:
    sweep: list[Trial]
    recommended: Trial


def section(quick: bool) -> Section:
    seconds, long_s = (3, 10) if quick else (_SECONDS, _LONG_SECONDS)
    return render(Stability(sweep(seconds, ADVSKEWS[::2] if quick else ADVSKEWS), recommended(long_s)))


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
            trials += watch(load, timings, seconds)
    return trials


def recommended(seconds: float) -> Trial:
    """Under load, the setting that docs/tuning.md recommends."""
    return watch("busy", [FASTEST], seconds)[0]


def watch(load: Load, timings: Sequence[Timing], seconds: float) -> list[Trial]:
    """A master and a backup with a group for each timing: how often the address moved."""
    with ExitStack() as stack:
        lab = stack.enter_context(Lab())
        nodes = lab.node("first"), lab.node("second")
        tap = stack.enter_context(Tap(lab.node("witness"), nodes))
        groups = [[_group(1 + n, timing, rank) for n, timing in enumerate(timings)] for rank in range(2)]
        engines = []
        for node, settings in zip(nodes, groups, strict=True):
            file = write_config(lab.directory / f"{node.name}.yaml", settings)
            flags = ["--config", str(file), *(["--realtime"] if timings[0].realtime else [])]
            engines.append(stack.enter_context(Engine(node, flags)))
            if node is nodes[0]:
                for group in settings:
                    engines[0].wait_for_change(became("master", group.name), _MASTER_WITHIN_S)
        stack.enter_context(loaded(load))
        before = [engine.next_heartbeat(60).counters for engine in engines]
        since_s = time.time()
        machine_late_most_s = late_by_itself(seconds)
        until_s = time.time()
        after = [engine.next_heartbeat(60).counters for engine in engines]
        trials = []
        for timing, group in zip(timings, groups[0], strict=True):
            counts = [(old[group.name], new[group.name]) for old, new in zip(before, after, strict=True)]
            late = [max(0.0, gap - timing.interval_s) for gap in _gaps(tap, group.vhid, since_s, until_s)]
            trials.append(
                Trial(
                    *(load, timing.realtime, timing.advskews[0], timing.dead_ratio, timing.patience_s, seconds),
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


def _group(vhid: int, timing: Timing, rank: int) -> Settings:
    return Settings(vhid, advbase=timing.advbase, advskew=timing.advskews[rank], dead_ratio=timing.dead_ratio)


def _gaps(tap: Tap, vhid: int, since_s: float, until_s: float) -> list[float]:
    """Between the group's advertisements, whoever sent them."""
    at = [frame.at_s for frame in tap.advertisements if since_s <= frame.at_s <= until_s and frame.vhid == vhid]
    return [later - earlier for earlier, later in pairwise(at)]


def _takeovers(count: GroupCounters) -> int:
    return sum(count.transitions.get("master", {}).values())
