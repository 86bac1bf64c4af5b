"""False takeovers where packets get lost at random, with the probe and without it, side by side.

Master and backup live, and each packet to and from the backup is lost with the same chance. A master is taken for
dead by mistake where several advertisements in a row get lost, or one and then several questions or their answers.
"""

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass

from bench.engine import Engine, Settings, became, write_config
from bench.section import Section, table
from carpsidecar.ipc.messages import GroupCounters
from carpsidecar.lab.network import Lab

_PERCENT = (1, 5, 10)
_GROUPS = 50
"""With the probe, and as many without it. Loss strikes each packet by itself: each group is a trial of its own."""
_SECONDS, _SECONDS_QUICK = 1200, 60
_STARTS_WITHIN_S = 30.0
_CALIBRATED_S = 5.0


@dataclass(frozen=True)
class Loss:
    """False takeovers of so many groups of each kind in this time, and what the backups heard of their masters."""

    percent: float
    seconds: float
    groups: int
    with_probe: int
    without_probe: int
    heard_part: float

    @property
    def reached(self) -> bool:
        """Not more than without the probe, as far as two counts of chance events can differ by chance."""
        by_chance = 2 * (self.with_probe + self.without_probe) ** 0.5
        return bool(self.with_probe <= self.without_probe + by_chance)


def section(quick: bool) -> Section:
    return render(measure(_SECONDS_QUICK if quick else _SECONDS))


def measure(seconds: float) -> list[Loss]:
    """All at the same time, each in a network of its own."""
    with ExitStack() as stack:
        pairs = [_Pair(stack, percent) for percent in _PERCENT]
        before = [pair.counters() for pair in pairs]
        time.sleep(seconds)
        after = [pair.counters() for pair in pairs]
    losses = [pair.result(old, new, seconds) for pair, old, new in zip(pairs, before, after, strict=True)]
    print(*losses, sep="\n", file=sys.stderr)
    return losses


def render(losses: Sequence[Loss]) -> Section:
    rows = [
        (
            f"{loss.percent:g} %",
            f"{100 * (1 - loss.heard_part):.1f} %",
            *(str(loss.with_probe), str(loss.without_probe)),
            *map(_per_day, (loss.with_probe, loss.without_probe), [loss] * 2),
            "yes" if loss.reached else "**no**",
        )
        for loss in losses
    ]
    header = (
        *("lost", "advertisements missed", "with the probe", "without it"),
        *("with: a group and day", "without: a group and day", "no more"),
    )
    first = losses[0]
    text = (
        "Each packet to and from the backup is lost with this chance (nftables, `numgen random`), at an"
        " advertisement a second: how often a backup took over from a master that lived, in"
        f" {first.seconds / 60:g} minutes of {first.groups} groups with the probe and {first.groups} without it, on"
        " the same two machines. 'No more': not more than two such counts differ by chance."
    )
    return Section("Lost packets", f"{text}\n\n{table(header, rows)}", [asdict(loss) for loss in losses])


def _per_day(takeovers: int, loss: Loss) -> str:
    return f"{takeovers / loss.groups * 86400 / loss.seconds:.2g}"


class _Pair:
    """A master and its backup with all groups, every other one with the probe."""

    def __init__(self, stack: ExitStack, percent: float) -> None:
        self._percent = percent
        lab = stack.enter_context(Lab())
        nodes = [lab.node(name) for name in ("first", "second")]
        engines = []
        for node, advskew in zip(nodes, (0, 20), strict=True):
            self._groups = [
                Settings(1 + number, advskew=advskew, probe=number % 2 == 0) for number in range(2 * _GROUPS)
            ]
            file = write_config(lab.directory / f"{node.name}.yaml", self._groups)
            engines.append(stack.enter_context(Engine(node, ["--config", str(file)])))
            if node is nodes[0]:
                for group in self._groups:
                    engines[0].wait_for_change(became("master", group.name), _STARTS_WITHIN_S)
        self._backup = engines[1]
        time.sleep(_CALIBRATED_S)
        nodes[1].lose_fraction(percent)

    def counters(self) -> dict[str, GroupCounters]:
        return self._backup.all_counters(self._groups)

    def result(self, before: dict[str, GroupCounters], after: dict[str, GroupCounters], seconds: float) -> Loss:
        takeovers = {True: 0, False: 0}
        heard = 0
        for group in self._groups:
            old, new = before[group.name], after[group.name]
            takeovers[group.probe] += _takeovers(new) - _takeovers(old)
            heard += new.advertisements_received - old.advertisements_received
        expected = seconds * len(self._groups)
        return Loss(self._percent, seconds, _GROUPS, takeovers[True], takeovers[False], heard / expected)


def _takeovers(count: GroupCounters) -> int:
    return sum(count.transitions.get("master", {}).values())
