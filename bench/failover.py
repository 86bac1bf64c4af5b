"""Every fault at every system, in turn, round after round."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.faults import AS_KEEPALIVED, FAULTS, Fault
from bench.scene import Outcome, SetUpError, scene_of
from bench.systems import FASTEST, OTHERS, SYSTEMS, System, installed
from carpsidecar.lab.commands import LabError

ROUNDS, ROUNDS_QUICK = 4, 1
_ATTEMPTS = 3


@dataclass
class Cell:
    """One fault at one system: an outcome a round, and what failed instead of giving one."""

    fault: Fault
    system: System
    outcomes: list[Outcome] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def values(self) -> list[float]:
        return [self.fault.value(outcome) for outcome in self.outcomes]

    @property
    def typical(self) -> Outcome:
        """The outcome of the middle: of an even number, the better one."""
        return sorted(self.outcomes, key=self.fault.value)[(len(self.outcomes) - 1) // 2]

    @property
    def still(self) -> bool:
        """Whether two nodes still held the address when the watch ended."""
        return self.fault.measure == "two holders" and sum(o.still_two for o in self.outcomes) * 2 > len(
            self.outcomes
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "fault": self.fault.key,
            "system": self.system.key,
            "measure": self.fault.measure,
            "setting": self.system.setting,
            "median": median(self.values) if self.outcomes else None,
            "values": self.values,
            "still_at_the_end": self.still,
            "failures": self.failures,
            "rounds": [outcome.as_json() for outcome in self.outcomes],
        }


def measure_others(rounds: int) -> list[Cell]:
    """Ours with other times than those that are recommended: the machine is lost, again and again."""
    fault = next(fault for fault in FAULTS if fault.key == "machine-lost")
    system = next(system for system in SYSTEMS if system.key == "ours-fast")
    timings = sorted({FASTEST, *OTHERS}, key=lambda timing: -timing.patience_s)
    cells = [Cell(fault, wanted) for timing in timings if (wanted := system.retimed(timing))]
    for number in range(rounds):
        for cell in cells:
            _play(cell, (number + 0.5) / rounds)
    return cells


def measure(
    rounds: int, faults: Sequence[str] = (), systems: Sequence[str] = (), quick: bool = False
) -> list[Cell]:
    """Args: faults, systems: keys; all of them where none is given."""
    cells = list(_cells(faults, systems, quick))
    for number in range(rounds):
        # The same for all systems: between two advertisements, evenly spread over the rounds.
        phase = (number + 0.5) / rounds
        for cell in cells:
            measured = len(cell.outcomes)
            _play(cell, phase)
            value = f"{cell.values[-1]:.3f}" if len(cell.outcomes) > measured else cell.failures[-1]
            print(f"{number + 1}/{rounds} {cell.fault.title}: {cell.system.label}: {value}", file=sys.stderr)
    return cells


def goal_of(cell: Cell, cells: Sequence[Cell]) -> float | None:
    """The goal in seconds or transitions; None where there is none, or nothing to compare with."""
    goal = cell.fault.goals.get(cell.system.key)
    if goal != AS_KEEPALIVED:
        return float(goal) if goal is not None else None
    same_fault = (other for other in cells if other.fault.key == cell.fault.key and other.system.key == goal)
    values = next((other.values for other in same_fault if other.values), None)
    return median(values) if values else None


def _cells(faults: Sequence[str], systems: Sequence[str], quick: bool) -> Iterator[Cell]:
    for fault in FAULTS:
        if fault.key not in faults and (faults or (quick and not fault.quick)):
            continue
        for system in SYSTEMS:
            wanted = fault.system(system)
            if wanted and installed(system) and (not systems or system.key in systems):
                yield Cell(fault, wanted)


def _play(cell: Cell, phase: float) -> None:
    for attempt in reversed(range(_ATTEMPTS)):
        try:
            with scene_of(cell.system) as scene:
                cell.outcomes.append(cell.fault.play(scene, phase))
        except SetUpError as error:
            # Not the system's failure to master the fault: that was not begun.
            if not attempt:
                cell.failures.append(f"could not begin: {str(error).splitlines()[0]}")
        except (LabError, TimeoutError) as error:
            cell.failures.append(str(error).splitlines()[0])
            return
        else:
            return
