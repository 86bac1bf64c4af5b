"""False takeovers by advertisement interval, with and without load.

Nothing is wrong with the master, so each takeover is a false one: something kept it, or its backup, from running in
time. The backup is as fast as the master. The groups of one pair differ in their patience only, and share stalls.
`python -m bench.stability [SECONDS [ADVSKEW...]]`
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import quantiles
from typing import Literal

from bench.engine import Engine, Settings, became, write_config
from bench.section import Section
from bench.stability_plot import body, plot
from bench.tap import Tap
from carpsidecar.lab.network import Lab
from carpsidecar.messages import GroupCounters

Load = Literal["idle", "busy", "busy, real-time"]
LOADS: tuple[Load, ...] = ("idle", "busy", "busy, real-time")
ADVSKEWS = (1, 2, 5, 10, 20, 40)
DEAD_RATIOS = (3, 5, 10)


@dataclass(frozen=True)
class Trial:
    """One setting under one load. Times in seconds; `late` is by how much a gap exceeded the interval."""

    load: Load
    advskew: int
    dead_ratio: int
    seconds: float
    takeovers: int
    lease_misses: int
    advertisements: int
    late_median_s: float
    late_most_s: float
    machine_load: float

    @property
    def interval_s(self) -> float:
        return self.advskew / 256

    @property
    def patience_s(self) -> float:
        return self.dead_ratio * self.interval_s


def measure(
    seconds: float = 60,
    advskews: Sequence[int] = ADVSKEWS,
    loads: Sequence[Load] = LOADS,
    dead_ratios: Sequence[int] = DEAD_RATIOS,
) -> list[Trial]:
    return [
        trial for load in loads for advskew in advskews for trial in _trials(load, advskew, dead_ratios, seconds)
    ]


def section(quick: bool) -> Section:
    return render(measure(3, (1, 5, 20), ("idle", "busy")) if quick else measure())


def render(trials: Sequence[Trial]) -> Section:
    data = [asdict(trial) for trial in trials]
    return Section("No false takeovers", body(trials), data, {"stability": plot(trials)})


def _trials(load: Load, advskew: int, dead_ratios: Sequence[int], seconds: float) -> list[Trial]:
    with ExitStack() as stack:
        lab = stack.enter_context(Lab())
        nodes = lab.node("first"), lab.node("second")
        witness = lab.node("witness")
        groups = [Settings(vhid=1 + n, advbase=0, advskew=advskew, dead_ratio=r) for n, r in enumerate(dead_ratios)]
        flags = ["--config", str(write_config(lab.directory / "groups.yaml", groups))]
        tap = stack.enter_context(Tap(witness, nodes))
        engines = []
        for node in nodes:
            engines.append(stack.enter_context(Engine(node, flags)))
            if node is nodes[0]:
                for group in groups:
                    engines[0].wait_for_change(became("master", group.name), 20)
        if load != "idle":
            stack.enter_context(busy())
        if load == "busy, real-time":
            for engine in engines:
                os.sched_setscheduler(engine.process.pid, os.SCHED_RR, os.sched_param(1))
        before = [engine.next_heartbeat().counters for engine in engines]
        since_s = time.time()
        time.sleep(seconds)
        until_s = time.time()
        after = [engine.next_heartbeat(60).counters for engine in engines]
        trials = []
        for group in groups:
            takeovers = misses = 0
            for old, new in zip(before, after, strict=True):
                was, now = old[group.name], new[group.name]
                takeovers += _takeovers(now) - _takeovers(was)
                misses += now.lease_misses - was.lease_misses
            at = [
                frame.at_s
                for frame in tap.frames
                if since_s <= frame.at_s <= until_s and (said := frame.advertisement) and said.vhid == group.vhid
            ]
            late = [max(0.0, later - earlier - advskew / 256) for earlier, later in pairwise(at)] or [0.0, 0.0]
            middle = quantiles(late, n=2)[0]
            trials.append(
                Trial(
                    *(load, advskew, group.dead_ratio, seconds, takeovers, misses, len(at), middle, max(late)),
                    machine_load=os.getloadavg()[0],
                )
            )
        return trials


def _takeovers(count: GroupCounters) -> int:
    return sum(count.transitions.get("master", {}).values())


@contextmanager
def busy() -> Iterator[None]:
    """Every processor has a process of normal priority that wants all of it."""
    loops = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"], cwd=Path("/"))
        for _ in range(os.cpu_count() or 1)
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def main() -> None:
    seconds, *advskews = sys.argv[1:] or ["60"]
    trials = measure(float(seconds), [int(advskew) for advskew in advskews] or ADVSKEWS)
    print(json.dumps([asdict(trial) for trial in trials], indent=1))


if __name__ == "__main__":
    main()
