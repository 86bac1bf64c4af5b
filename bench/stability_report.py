"""False takeovers as a picture and in words."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes

from bench.load import LABELS
from bench.picture import BLUE, GREEN, POINTS, SOFT, VERMILLION, Picture
from bench.section import duration, image, table
from bench.systems import EVERY_SECOND, FASTEST

if TYPE_CHECKING:
    from bench.stability import Condition, Stability, Trial

_COLOURS = {"idle": BLUE, "busy": VERMILLION, "changing": GREEN}
_PANEL_WIDTH = 250
_ASIDE = 1.04


def body(stability: "Stability") -> str:
    trials = stability.sweep
    rows = [
        (
            _label(_condition(trial)),
            f"{trial.advbase}, {trial.advskew}, {trial.dead_ratio}",
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
            *(f"- {_of_long(trial)}" for trial in stability.long),
            *(f"- {finding}" for finding in _findings(trials)),
            "",
            image("stability", "False takeovers against the advertisement interval"),
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
            image("stability", "False takeovers against the advertisement interval"),
            "",
            *(f"- {_of_long(trial)}" for trial in stability.long),
            *(f"- {finding}" for finding in _findings(stability.sweep)),
            "",
            f"{stability.sweep[0].seconds:g} s for each point."
            " All numbers: [benchmark.md](benchmark.md#no-false-takeovers).",
        ]
    )


def _of_long(trial: "Trial") -> str:
    minutes = f"{trial.seconds / 60:g} minutes" if trial.seconds >= 60 else f"{trial.seconds:g} s"
    setting = EVERY_SECOND if trial.advbase else FASTEST
    name = "an advertisement a second" if trial.advbase else "the fastest setting"
    return (
        f"{name} ({setting.setting}), {minutes}, {LABELS[trial.load]}: {trial.takeovers or 'no'}"
        f" false takeover{'' if trial.takeovers == 1 else 's'}; of {trial.advertisements:,} advertisements the"
        f" latest was {duration(trial.late_most_s)} late, and the backup waits {duration(trial.patience_s)};"
        f" the machine itself was {duration(trial.machine_late_most_s)} late"
    )


def _findings(trials: Sequence["Trial"]) -> list[str]:
    """For each load the least patience that held, and how late an advertisement was."""
    findings = []
    for condition in _conditions(trials):
        mine = [trial for trial in trials if _condition(trial) == condition]
        worst = max((trial.patience_s for trial in mine if trial.takeovers), default=0.0)
        held = [trial for trial in mine if trial.patience_s > worst]
        late = max(trial.late_most_s for trial in mine)
        least = min(held, key=lambda trial: trial.patience_s, default=None)
        finding = (
            "no setting held"
            if least is None
            else f"what waits {duration(least.patience_s)} or longer held"
            f" (advskew {least.advskew}, dead ratio {least.dead_ratio})"
        )
        findings.append(f"{_label(condition)}: {finding}; the latest advertisement was {duration(late)} late")
    return findings


def plot(trials: Sequence["Trial"]) -> Picture:
    ratios = sorted({trial.dead_ratio for trial in trials})
    conditions = _conditions(trials)
    picture = Picture(
        *(90 + len(ratios) * (_PANEL_WIDTH + 50), 440, "False takeovers"),
        *("How often a backup takes over though nothing is wrong",),
        *("In ten minutes, by the time between two advertisements. Lower is better.",),
    )
    picture.key(80, [(_COLOURS[load], LABELS[load]) for load in dict.fromkeys(load for load, _ in conditions)])
    if any(realtime for _, realtime in conditions):
        picture.text(24, 106, "- - -  with real-time priority", colour=SOFT)
    for number, ratio in enumerate(ratios):
        left = 80.0 + number * (_PANEL_WIDTH + 50)
        axes = picture.axes(left, 158, left + _PANEL_WIDTH, 376)
        axes.set_title(f"dead ratio {ratio}", pad=14)
        _panel(axes, [trial for trial in trials if trial.dead_ratio == ratio], conditions, trials)
    return picture


def _panel(
    axes: Axes, mine: Sequence["Trial"], conditions: Sequence["Condition"], trials: Sequence["Trial"]
) -> None:
    intervals = sorted({trial.interval_s for trial in trials})
    most = max(10.0, *(per_ten_minutes(trial) for trial in trials)) * 1.5
    powers = [10**power for power in range(6) if 10**power <= most]
    axes.grid(False, axis="x")
    axes.set_xlabel("interval, ms", labelpad=8)
    axes.set_xscale("log")
    axes.set_xlim(intervals[0] / 1.15, intervals[-1] * 1.15)
    axes.set_xticks(intervals, [f"{interval * 1000:.0f}" for interval in intervals])
    axes.set_xticks([], minor=True)
    axes.set_yscale("symlog", linthresh=1, linscale=0.3)
    axes.set_ylim(0, most)
    axes.set_yticks([0, *powers], ["none", *(f"{power:,}" for power in powers)])
    axes.set_yticks([], minor=True)
    if mine[0].dead_ratio == FASTEST.dead_ratio and FASTEST.interval_s in intervals:
        axes.axvline(FASTEST.interval_s, color=SOFT, linewidth=1.2 * POINTS, linestyle=":")
        style: dict[str, Any] = {"color": SOFT, "fontsize": 11 * POINTS, "ha": "center"}
        axes.text(FASTEST.interval_s, 1.02, "recommended", transform=axes.get_xaxis_transform(), **style)
    for number, condition in enumerate(conditions):
        # Side by side, so that one does not hide the other.
        aside = _ASIDE ** (number - len(conditions) // 2)
        points = sorted((t.interval_s * aside, per_ten_minutes(t)) for t in mine if _condition(t) == condition)
        load, realtime = condition
        axes.plot(*zip(*points, strict=True), "--o" if realtime else "-o", color=_COLOURS[load], clip_on=False)


def per_ten_minutes(trial: "Trial") -> float:
    return trial.takeovers * 600 / trial.seconds


def _condition(trial: "Trial") -> "Condition":
    return trial.load, trial.realtime


def _conditions(trials: Sequence["Trial"]) -> list["Condition"]:
    return list(dict.fromkeys(map(_condition, trials)))


def _label(condition: "Condition") -> str:
    load, realtime = condition
    return f"{LABELS[load]}, with real-time priority" if realtime else LABELS[load]
