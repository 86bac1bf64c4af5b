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
from carpsidecar.lab.node import Node

_PERCENT = (1, 5, 10)
_PAIRS = 16
"""Of each, with two groups: those that share a master share the questions to it, too."""
_SECONDS, _SECONDS_QUICK = 1200, 60
_STARTS_WITHIN_S = 30.0
_CALIBRATED_S = 5.0
_VHIDS = _WITH_PROBE, _WITHOUT_PROBE = 1, 2
_SETTINGS = {_WITH_PROBE: ["in_use: take"], _WITHOUT_PROBE: ["in_use: take", "probe: false"]}
"""Without the claim guard, which keeps many such takeovers from happening, with the probe and without it."""


@dataclass(frozen=True)
class Loss:
    """False takeovers of so many pairs in this time, and what part of the advertisements their backups heard."""

    percent: float
    seconds: float
    pairs: int
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
        pairs = [_Pair(stack.enter_context(Lab()), stack, percent) for percent in _PERCENT for _ in range(_PAIRS)]
        for pair in pairs:
            pair.start_backup()
        time.sleep(_CALIBRATED_S)
        for pair in pairs:
            pair.lose()
        before = [pair.counters() for pair in pairs]
        time.sleep(seconds)
        after = [pair.counters() for pair in pairs]
    counted = [pair.counts(old, new) for pair, old, new in zip(pairs, before, after, strict=True)]
    losses = []
    for percent in _PERCENT:
        mine = [counts for pair, counts in zip(pairs, counted, strict=True) if pair.percent == percent]
        with_probe, without_probe, heard = (sum(numbers) for numbers in zip(*mine, strict=True))
        part = heard / (2 * seconds * len(mine))
        losses.append(Loss(percent, seconds, len(mine), with_probe, without_probe, part))
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
        f" {first.seconds / 60:g} minutes of {first.pairs} pairs of machines. Each pair has a group with the"
        " probe and one without it; the claim guard, which prevents some of these takeovers, is off in both."
        " 'No more': not more than two such counts differ by chance."
    )
    return Section("Lost packets", f"{text}\n\n{table(header, rows)}", [asdict(loss) for loss in losses])


def _per_day(takeovers: int, loss: Loss) -> str:
    return f"{takeovers / loss.pairs * 86400 / loss.seconds:.2g}"


class _Pair:
    """A master and its backup."""

    def __init__(self, lab: Lab, stack: ExitStack, percent: float) -> None:
        self.percent = percent
        self._lab, self._stack = lab, stack
        self._nodes = [lab.node(name) for name in ("first", "second")]
        self._master = self._start(self._nodes[0], 0)

    def start_backup(self) -> None:
        """When the master is one."""
        for vhid in _VHIDS:
            self._master.wait_for_change(became("master", f"vhid-{vhid}"), _STARTS_WITHIN_S)
        self._backup = self._start(self._nodes[1], 20)

    def _start(self, node: Node, advskew: int) -> Engine:
        groups = [Settings(vhid, advskew=advskew, more=_SETTINGS[vhid]) for vhid in _VHIDS]
        file = write_config(self._lab.directory / f"{node.name}.yaml", groups)
        return self._stack.enter_context(Engine(node, ["--config", str(file)]))

    def lose(self) -> None:
        self._nodes[1].lose_fraction(self.percent)

    def counters(self) -> list[GroupCounters]:
        """Of the group with the probe, and of the one without, as of the last second."""
        counters = self._backup.heartbeats[-1].counters
        return [counters[f"vhid-{vhid}"] for vhid in _VHIDS]

    def counts(self, before: Sequence[GroupCounters], after: Sequence[GroupCounters]) -> tuple[int, int, int]:
        """Takeovers with the probe and without it, and advertisements heard in both groups."""
        with_probe, without = (_takeovers(new) - _takeovers(old) for old, new in zip(before, after, strict=True))
        heard = sum(
            new.advertisements_received - old.advertisements_received
            for old, new in zip(before, after, strict=True)
        )
        return with_probe, without, heard


def _takeovers(count: GroupCounters) -> int:
    return sum(count.transitions.get("master", {}).values())
