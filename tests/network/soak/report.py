"""What is printed: each violation with all that is known about it, and the summary."""

import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from tests.network.soak.facts import Facts
from tests.network.soak.judge import Violation
from tests.network.soak.lab import SoakLab

_AFTER_S = 1.0
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4}")
_LINES_MAX = 60
_printing = threading.Lock()


@dataclass
class Tally:
    """Of one scene."""

    scene: str
    rounds: int = 0
    quiet_periods: int = 0
    quiet_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    quiet_outage_s: float = 0.0
    outage_s: float = 0.0
    waited_s: float = 0.0
    """The longest that an answer waited for a processor of this machine, which no outage counts."""
    double_s: dict[str, float] = field(default_factory=dict)
    memory_grown_mb: float = 0.0

    def __str__(self) -> str:
        faults = ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items())) or "none"
        lines = [
            f"{self.scene}: {self.rounds} rounds, {self.faults.total()} faults, {len(self.violations)} violations",
            f"  faults: {faults}",
            f"  quiet periods checked: {self.quiet_periods}, {self.quiet_s:.0f} s in all",
            f"  longest outage: {self.quiet_outage_s:.3f} s in a quiet network, {self.outage_s:.3f} s under faults",
            f"  longest wait of an answer for a processor: {self.waited_s:.3f} s",
            *(f"  longest that two answered: {s:.3f} s: {what}" for what, s in sorted(self.double_s.items())),
            f"  memory: grown by {self.memory_grown_mb:.1f} MB at most since a daemon's first minute",
        ]
        return "\n".join(lines)


def say(text: str) -> None:
    with _printing:
        print(text, flush=True)


def described(lab: SoakLab, facts: Facts, violation: Violation, begun: float, where: str) -> str:
    """Everything that helps to find the cause; times are seconds since the start."""
    at = violation.at

    def since(then: float) -> str:
        return f"{then - begun:+.3f}"

    lines = [f"VIOLATION {where}, at {since(at)} s: {violation.text}", "  faults of this round:"]
    for trouble in facts.troubles:
        lines.append(f"    {since(trouble.begin)} to {since(trouble.end)}: {trouble}")
    lines.append(f"    all undone at {since(facts.healed)}; advskews {facts.advskews}")
    lines.append("  who held the address:")
    for change in facts.changes:
        if facts.begin <= change.at <= at + _AFTER_S:
            lines.append(f"    {since(change.at)} {change.node} {'took' if change.held else 'lost'} it")
    lines.append("  what the nodes said:")
    said = sorted(
        (then, name, text)
        for name, machine in lab.machines.items()
        for process in machine.processes
        for then, text in _stamped(process.log)
        if facts.begin <= then <= at + _AFTER_S
    )
    lines += [f"    {since(then)} {name} {text}" for then, name, text in said[:_LINES_MAX]]
    return "\n".join(lines)


def _stamped(log: str) -> list[tuple[float, str]]:
    """A log's lines with their times on the monotonic clock."""
    to_monotonic = time.monotonic() - time.time()
    found = []
    for line in log.splitlines():
        stamp, _, text = line.partition(" ")
        if _STAMP.fullmatch(stamp):
            found.append((datetime.fromisoformat(stamp).timestamp() + to_monotonic, text))
    return found
