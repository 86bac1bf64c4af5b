"""False takeovers as a picture and in words."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.chart import Panel, logarithmic
from bench.load import WORDS
from bench.section import picture, table
from bench.svg import BLUE, GREEN, SOFT, VERMILLION, Drawing, duration
from bench.systems import FASTEST

if TYPE_CHECKING:
    from bench.stability import Condition, Stability, Trial

_COLOURS = {"idle": BLUE, "busy": VERMILLION, "changing": GREEN}
_DASHES = {False: "", True: "6 5"}
_NONE = 0.5
"""Where zero stands on a logarithmic axis."""
_PANEL_WIDTH = 250
_ASIDE = 1.04


def body(stability: "Stability") -> str:
    trials = stability.sweep
    rows = [
        (
            _words(_condition(trial)),
            f"0, {trial.advskew}, {trial.dead_ratio}",
            duration(trial.interval_s),
            duration(trial.patience_s),
            str(trial.takeovers),
            duration(trial.late_median_s),
            duration(trial.late_most_s),
            duration(trial.machine_late_most_s),
        )
        for trial in trials
    ]
    header = (
        *("load", "advbase, advskew, dead ratio", "interval", "patience"),
        *("false takeovers", "late, median", "late, at most", "the machine itself"),
    )
    return "\n".join(
        [
            "Nothing is wrong with the master, so every takeover is a false one.",
            "",
            f"- {_of_recommended(stability.recommended)}",
            *(f"- {verdict}" for verdict in _verdicts(trials)),
            "",
            picture("stability", "False takeovers against the advertisement interval"),
            "",
            f"{trials[0].seconds:g} s for each of these settings; the backup is as fast as the master. Busy:"
            " every processor has a process of normal priority that wants all of it. Namespaces and interfaces come"
            " and go: one more process makes and ends them as fast as it can, as who starts containers would."
            " The machine itself: by how much a timer of real-time priority was late at most, in a process beside"
            " them that did nothing else.",
            "",
            table(header, rows),
        ]
    )


def for_tuning(stability: "Stability") -> str:
    """What docs/tuning.md shows."""
    return "\n".join(
        [
            picture("stability", "False takeovers against the advertisement interval"),
            "",
            f"- {_of_recommended(stability.recommended)}",
            *(f"- {verdict}" for verdict in _verdicts(stability.sweep)),
            "",
            f"{stability.sweep[0].seconds:g} s for each point."
            " All numbers: [benchmark.md](benchmark.md#no-false-takeovers).",
        ]
    )


def _of_recommended(trial: "Trial") -> str:
    minutes = f"{trial.seconds / 60:g} minutes" if trial.seconds >= 60 else f"{trial.seconds:g} s"
    return (
        f"the recommended setting ({FASTEST.words}), {minutes}, {WORDS[trial.load]}: {trial.takeovers or 'no'}"
        f" false takeover{'' if trial.takeovers == 1 else 's'}; of {trial.advertisements:,} advertisements the"
        f" latest was {duration(trial.late_most_s)} late, and the backup waits {duration(trial.patience_s)};"
        f" the machine itself was {duration(trial.machine_late_most_s)} late"
    )


def _verdicts(trials: Sequence["Trial"]) -> list[str]:
    """For each load the least patience that held, and how late an advertisement was."""
    verdicts = []
    for condition in _conditions(trials):
        mine = [trial for trial in trials if _condition(trial) == condition]
        worst = max((trial.patience_s for trial in mine if trial.takeovers), default=0.0)
        held = [trial for trial in mine if trial.patience_s > worst]
        late = max(trial.late_most_s for trial in mine)
        least = min(held, key=lambda trial: trial.patience_s, default=None)
        verdict = (
            "no setting held"
            if least is None
            else f"what waits {duration(least.patience_s)} or longer held"
            f" (advskew {least.advskew}, dead ratio {least.dead_ratio})"
        )
        verdicts.append(f"{_words(condition)}: {verdict}; the latest advertisement was {duration(late)} late")
    return verdicts


def plot(trials: Sequence["Trial"]) -> Drawing:
    ratios = sorted({trial.dead_ratio for trial in trials})
    intervals = sorted({trial.interval_s for trial in trials})
    conditions = _conditions(trials)
    most = max(10.0, *(per_ten_minutes(trial) for trial in trials)) * 1.5
    drawing = Drawing(90 + len(ratios) * (_PANEL_WIDTH + 50), 440, "False takeovers")
    drawing.text(24, 36, "How often a backup takes over though nothing is wrong", size=19, bold=True)
    drawing.text(24, 58, "In ten minutes, by the time between two advertisements. Lower is better.", colour=SOFT)
    loads = dict.fromkeys(load for load, _ in conditions)
    drawing.key(24, 84, [(_COLOURS[load], WORDS[load]) for load in loads])
    if any(realtime for _, realtime in conditions):
        drawing.line([(24, 102), (50, 102)], SOFT, 2.2, _DASHES[True])
        drawing.text(58, 106, "with real-time priority", colour=SOFT)
    edge = max(1.05, (intervals[-1] / intervals[0]) ** 0.06)
    for number, ratio in enumerate(ratios):
        left = 80.0 + number * (_PANEL_WIDTH + 50)
        x = logarithmic(intervals[0] / edge, intervals[-1] * edge)
        panel = Panel(drawing, left, 158, left + _PANEL_WIDTH, 376, x, logarithmic(_NONE, most))
        powers = [float(10**power) for power in range(6) if 10**power <= most]
        panel.frame(
            f"dead ratio {ratio}",
            [(interval, f"{interval * 1000:.0f}") for interval in intervals],
            [(_NONE, "none"), *((power, f"{power:,.0f}") for power in powers)],
        )
        drawing.text(left + _PANEL_WIDTH / 2, 416, "interval, ms", size=12, colour=SOFT, anchor="middle")
        if ratio == FASTEST.dead_ratio and FASTEST.interval_s in intervals:
            panel.point_out(FASTEST.interval_s, "recommended")
        for place, condition in enumerate(conditions):
            # Side by side, so that one does not hide the other.
            aside = _ASIDE ** (place - len(conditions) // 2)
            mine = [t for t in trials if _condition(t) == condition and t.dead_ratio == ratio]
            points = sorted((t.interval_s * aside, per_ten_minutes(t)) for t in mine)
            panel.series(points, _COLOURS[condition[0]], _DASHES[condition[1]])
    return drawing


def per_ten_minutes(trial: "Trial") -> float:
    return trial.takeovers * 600 / trial.seconds


def _condition(trial: "Trial") -> "Condition":
    return trial.load, trial.realtime


def _conditions(trials: Sequence["Trial"]) -> list["Condition"]:
    return list(dict.fromkeys(map(_condition, trials)))


def _words(condition: "Condition") -> str:
    load, realtime = condition
    return f"{WORDS[load]}, with real-time priority" if realtime else WORDS[load]
