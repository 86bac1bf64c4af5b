"""Every fault at every system, in turn, round after round."""

import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.faults import FAULTS, Fault, Goal, Row
from bench.scene import Outcome, SetUpError, scene_of
from bench.systems import FASTEST, OTHERS, SYSTEMS, System, installed
from carpsidecar.lab.commands import LabError

_ATTEMPTS = 3
TOGETHER = 4
"""So many rounds of what takes seconds run at the same time; what takes milliseconds has the machine for itself."""
_OTHER_TIMES_ROUNDS = 5


@dataclass
class Cell:
    """One fault at one system: an outcome a round, and what failed instead of giving one."""

    fault: Fault
    system: System
    outcomes: list[Outcome] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def values(self, row: Row) -> list[float]:
        return [row.value(outcome) for outcome in self.outcomes]

    @property
    def typical(self) -> Outcome:
        """The outcome of the middle, by what is measured first: of an even number, the better one."""
        return sorted(self.outcomes, key=self.fault.rows[0].value)[(len(self.outcomes) - 1) // 2]

    def still(self, row: Row) -> bool:
        """Whether two nodes still held the address when the watch ended."""
        return row.measure == "two holders" and 2 * sum(o.still_two for o in self.outcomes) > len(self.outcomes)

    def as_json(self) -> dict[str, Any]:
        return {
            "fault": self.fault.key,
            "system": self.system.key,
            "setting": self.system.setting,
            "measures": {
                row.measure: {
                    "median": median(self.values(row)) if self.outcomes else None,
                    "values": self.values(row),
                    "still_at_the_end": self.still(row),
                }
                for row in self.fault.rows
            },
            "failures": self.failures,
            "rounds": [outcome.as_json() for outcome in self.outcomes],
        }


@dataclass(frozen=True)
class _Job:
    """A round of a cell, known by its number in the list; the fault strikes at this part of an interval."""

    cell: int
    phase: float
    alone: bool


def measure_others() -> list[Cell]:
    """Ours with other times than those that are recommended: the machine is lost, again and again."""
    fault = next(fault for fault in FAULTS if fault.key == "machine-lost")
    system = next(system for system in SYSTEMS if system.key == "ours-fast")
    timings = sorted({FASTEST, *OTHERS}, key=lambda timing: -timing.patience_s)
    cells = [Cell(fault, wanted) for timing in timings if (wanted := system.retimed(timing))]
    for number in range(_OTHER_TIMES_ROUNDS):
        for cell in cells:
            _add(cell, _play(cell, (number + 0.5) / _OTHER_TIMES_ROUNDS))
    return cells


def measure(
    rounds: int = 0, faults: Sequence[str] = (), systems: Sequence[str] = (), quick: bool = False
) -> list[Cell]:
    """Args: rounds: of each, instead of its own number. faults, systems: keys; all of them where none is given."""
    cells = list(_cells(faults, systems, quick))
    jobs = sorted(_jobs(cells, rounds), key=lambda job: job.phase)
    # Processes, since the watching threads of one would wait for each other.
    with ProcessPoolExecutor(TOGETHER, multiprocessing.get_context("spawn")) as pool:
        running = {
            pool.submit(_play, Cell(cells[job.cell].fault, cells[job.cell].system), job.phase): job
            for job in jobs
            if not job.alone
        }
        for future in as_completed(running):
            _add(cells[running[future].cell], future.result())
    for job in jobs:
        if job.alone:
            _add(cells[job.cell], _play(cells[job.cell], job.phase))
    return cells


def goals_of(cell: Cell, row: Row, cells: Sequence[Cell]) -> Iterator[tuple[Goal, float]]:
    """Each with what it is in seconds or transitions, as far as there is something to compare with."""
    for goal in row.goals.get(cell.system.key, ()):
        if not goal.half_of:
            yield goal, goal.most
            continue
        same_fault = (o for o in cells if o.fault.key == cell.fault.key and o.system.key == goal.half_of)
        values = next((other.values(row) for other in same_fault if other.outcomes), None)
        if values:
            yield goal, median(values) / 2


def reached(cell: Cell, row: Row, goal: Goal, most: float) -> bool:
    values = cell.values(row)
    return (
        not cell.still(row)
        and not cell.failures
        and (median(values) if goal.of == "median" else max(values)) <= most
    )


def _cells(faults: Sequence[str], systems: Sequence[str], quick: bool) -> Iterator[Cell]:
    for fault in FAULTS:
        if fault.key not in faults and (faults or (quick and not fault.quick)):
            continue
        for system in SYSTEMS:
            wanted = fault.system(system)
            needed = (system, fault.first or system)
            if wanted and all(map(installed, needed)) and (not systems or system.key in systems):
                yield Cell(fault, wanted)


def _jobs(cells: Sequence[Cell], rounds: int) -> Iterator[_Job]:
    for number, cell in enumerate(cells):
        count = rounds or cell.fault.rounds_with(cell.system)
        alone = cell.fault.alone == "always" or (cell.fault.alone == "fast" and cell.system.interval_s < 1)
        # The same for all systems: between two advertisements, evenly spread over the rounds.
        for round_number in range(count):
            yield _Job(number, (round_number + 0.5) / count, alone)


def _add(cell: Cell, result: Outcome | str) -> None:
    if isinstance(result, str):
        cell.failures.append(result)
        shown = result
    else:
        cell.outcomes.append(result)
        shown = ", ".join(f"{row.measure} {row.value(result):.3f}" for row in cell.fault.rows)
    done = len(cell.outcomes) + len(cell.failures)
    print(f"{cell.fault.title}: {cell.system.label}, round {done}: {shown}", file=sys.stderr, flush=True)


def _play(cell: Cell, phase: float) -> Outcome | str:
    """One round; a text where it failed."""
    fault = cell.fault
    for attempt in reversed(range(_ATTEMPTS)):
        try:
            with scene_of(cell.system, fault.prepare, fault.first) as scene:
                return fault.play(scene, phase)
        except SetUpError as error:
            # Not the system's failure to master the fault: that was not begun.
            if not attempt:
                return f"could not begin: {str(error).splitlines()[0]}"
        except (LabError, TimeoutError) as error:
            return str(error).splitlines()[0]
    raise AssertionError("unreachable")
