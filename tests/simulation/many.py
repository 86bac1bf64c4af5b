"""Many worlds on all cores; of those that break, the seed and the command that replays them."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from tests.simulation.invariants import Broken
from tests.simulation.mutants import Mutant
from tests.simulation.scenario import live, make_world

_CHUNK = 25


@dataclass
class Tally:
    """What many worlds came to."""

    worlds: int = 0
    virtual_s: float = 0.0
    deliveries: int = 0
    transitions: int = 0
    broken: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        self.worlds += other.worlds
        self.virtual_s += other.virtual_s
        self.deliveries += other.deliveries
        self.transitions += other.transitions
        self.broken += other.broken


def replay_command(seed: str, mutant: Mutant | None = None) -> str:
    name = "" if mutant is None else f" {mutant.__name__}"
    return f".venv/bin/python -m tests.simulation.replay {seed}{name}"


def run(base: int, worlds: int) -> Tally:
    """Live through this many worlds, from this seed on."""
    tally = Tally()
    starts = range(base, base + worlds, _CHUNK)
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for part in pool.map(partial(_run_chunk, end=base + worlds), starts):
            tally.add(part)
    return tally


def first_broken(base: int, worlds: int, mutant: Mutant) -> str | None:
    """The first seed whose world this mutant breaks."""
    for seed in _seeds(base, base + worlds):
        try:
            live(make_world(seed, mutant))
        except Broken:
            return seed
    return None


def _run_chunk(start: int, end: int) -> Tally:
    tally = Tally()
    for seed in _seeds(start, min(start + _CHUNK, end)):
        tally.worlds += 1
        try:
            outcome = live(make_world(seed))
        except Exception as error:
            # Whatever it is, it must come with its seed.
            tally.broken.append(f"seed {seed}: {error!r}\n    {replay_command(seed)}")
            continue
        tally.virtual_s += outcome.virtual_s
        tally.deliveries += outcome.deliveries
        tally.transitions += outcome.transitions
    return tally


def _seeds(start: int, end: int) -> Iterator[str]:
    return map(str, range(start, end))
