"""False takeovers as a picture and in words."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.chart import Panel, logarithmic
from bench.section import picture, table
from bench.svg import BLUE, GREY, INK, SOFT, VERMILLION, Drawing, duration

if TYPE_CHECKING:
    from bench.stability import Trial

_COLOURS = {"idle": BLUE, "busy": VERMILLION, "busy, real-time": INK}
_WORDS = {
    "idle": "no load",
    "busy": "every processor kept busy by another process",
    "busy, real-time": "the same, with real-time priority",
}
_NONE = 0.5
"""Where zero stands on a logarithmic axis."""
_PANEL_WIDTH = 250


def body(trials: Sequence["Trial"]) -> str:
    seconds = trials[0].seconds
    rows = [
        (
            f"{trial.load}",
            f"0, {trial.advskew}, {trial.dead_ratio}",
            duration(trial.interval_s),
            duration(trial.patience_s),
            str(trial.takeovers),
            duration(trial.late_median_s),
            duration(trial.late_most_s),
        )
        for trial in trials
    ]
    header = (
        *("load", "advbase, advskew, dead ratio", "interval", "patience"),
        *("false takeovers", "late, median", "late, at most"),
    )
    return "\n".join(
        [
            f"Nothing is wrong with the master, so every takeover is a false one. {seconds:g} s for each setting;"
            " under load every processor also has a process of normal priority that wants all of it.",
            "",
            picture("stability", "False takeovers against the advertisement interval"),
            "",
            *_verdicts(trials),
            "",
            table(header, rows),
        ]
    )


def _verdicts(trials: Sequence["Trial"]) -> list[str]:
    """For each load the least patience that held, and what was still taken over for nothing."""
    words = []
    for load in dict.fromkeys(trial.load for trial in trials):
        mine = [trial for trial in trials if trial.load == load]
        worst = max((trial.patience_s for trial in mine if trial.takeovers), default=0.0)
        held = [trial for trial in mine if trial.patience_s > worst]
        late = max(trial.late_most_s for trial in mine)
        least = min(held, key=lambda trial: trial.patience_s, default=None)
        verdict = (
            "no setting held"
            if least is None
            else f"what waits for {duration(least.patience_s)} or longer held (advskew {least.advskew}, dead ratio"
            f" {least.dead_ratio})"
        )
        words.append(f"- {_WORDS[load]}: {verdict}; the latest advertisement was {duration(late)} late")
    return words


def plot(trials: Sequence["Trial"]) -> Drawing:
    ratios = sorted({trial.dead_ratio for trial in trials})
    intervals = sorted({trial.interval_s for trial in trials})
    most = max(10.0, *(per_ten_minutes(trial) for trial in trials)) * 1.5
    drawing = Drawing(90 + len(ratios) * (_PANEL_WIDTH + 50), 400, "False takeovers")
    drawing.text(24, 36, "How often a backup takes over though nothing is wrong", size=19, bold=True)
    drawing.text(24, 58, "In ten minutes, by the time between two advertisements. Lower is better.", colour=SOFT)
    drawing.key(24, 84, [(_COLOURS[load], _WORDS[load]) for load in dict.fromkeys(t.load for t in trials)])
    edge = max(1.05, (intervals[-1] / intervals[0]) ** 0.06)
    for number, ratio in enumerate(ratios):
        left = 80.0 + number * (_PANEL_WIDTH + 50)
        x = logarithmic(intervals[0] / edge, intervals[-1] * edge)
        panel = Panel(drawing, left, 138, left + _PANEL_WIDTH, 340, x, logarithmic(_NONE, most))
        powers = [float(10**power) for power in range(6) if 10**power <= most]
        panel.frame(
            f"dead ratio {ratio}",
            [(interval, f"{interval * 1000:.0f}") for interval in intervals],
            [(_NONE, "none"), *((power, f"{power:,.0f}") for power in powers)],
        )
        drawing.text(left + _PANEL_WIDTH / 2, 380, "interval, ms", size=12, colour=SOFT, anchor="middle")
        for load in dict.fromkeys(t.load for t in trials):
            mine = sorted(
                (t for t in trials if (t.load, t.dead_ratio) == (load, ratio)), key=lambda t: t.interval_s
            )
            panel.series([(t.interval_s, per_ten_minutes(t)) for t in mine], _COLOURS.get(load, GREY))
    return drawing


def per_ten_minutes(trial: "Trial") -> float:
    return trial.takeovers * 600 / trial.seconds
