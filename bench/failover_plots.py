"""The failover benchmark as pictures."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from matplotlib.axes import Axes

from bench.failover import Cell, goals_of
from bench.faults import Row
from bench.picture import BLUE, CARD, GREY, INK, ORANGE, POINTS, PURPLE, SKY, SOFT, VERMILLION, Picture
from bench.section import duration

_COLOURS = {
    "ucarp": ORANGE,
    "keepalived": "#a3517d",
    "keepalived-fast": PURPLE,
    "ours": BLUE,
    "ours-fast": SKY,
}

# The client's view.
_VIEW = ("machine-lost", "clean-stop")
_VIEW_FROM_S, _VIEW_TO_S = -0.5, 4.5
_BAR_STEP = 30
_GAP_MIN_S = 0.015
"""So wide is a shorter gap drawn, or it could not be seen."""
_ROOM_FOR_WORDS_S = 0.5


def client_view(cells: Sequence[Cell]) -> Picture:
    """Who answered the client, from before the fault until after it, in the median round of each system."""
    panels = [[cell for cell in cells if cell.fault.key == key and cell.outcomes] for key in _VIEW]
    panels = [panel for panel in panels if panel]
    rows = sum(len(panel) for panel in panels)
    picture = Picture(
        *(860, 92 + rows * _BAR_STEP + len(panels) * 62, "The client's view of one failover"),
        *("What a client sees when the master goes",),
        *("It asks the shared address every 2 ms. The median round of each system.",),
    )
    picture.key(77, [(GREY, "the master answers"), (VERMILLION, "nobody answers"), (BLUE, "its backup answers")])
    top = 128.0
    for panel in panels:
        bottom = top + len(panel) * _BAR_STEP
        picture.text(24, top - 12, panel[0].fault.heading, 15, weight="bold")
        _view(picture.axes(170, top, 836, bottom), panel)
        top = bottom + 62
    return picture


def _view(axes: Axes, cells: Sequence[Cell]) -> None:
    axes.grid(False, axis="y")
    axes.spines.bottom.set_visible(False)
    axes.set_xlim(_VIEW_FROM_S, _VIEW_TO_S)
    axes.set_xticks(range(int(_VIEW_TO_S) + 1), ["fault", *(f"{s} s" for s in range(1, int(_VIEW_TO_S) + 1))])
    axes.axvline(0, color=SOFT, linewidth=POINTS, zorder=0.9)
    _systems_at(axes, cells)
    for row, cell in enumerate(cells):
        path = cell.typical.path
        # The client's own time: what the lab took to begin the fault is no system's doing.
        none = path.unanswered_s is None or path.answered_s is None
        gap_s = 0.0 if none else max((path.answered_s or 0.0) - (path.unanswered_s or 0.0), _GAP_MIN_S)
        axes.barh(row, -_VIEW_FROM_S, left=_VIEW_FROM_S, color=GREY, height=0.74)
        axes.barh(row, gap_s, left=0, color=VERMILLION, height=0.74)
        axes.barh(row, _VIEW_TO_S - gap_s, left=gap_s, color=BLUE, height=0.74)
        inside = gap_s >= _ROOM_FOR_WORDS_S
        axes.text(
            gap_s / 2 if inside else gap_s + 0.06,
            row,
            duration(cell.typical.outage_s, "below 2 ms"),
            color=CARD,
            weight="bold",
            ha="center" if inside else "left",
            va="center_baseline",
        )


# A machine is lost.
_AT_ONE_SECOND = ("ucarp", "keepalived", "ours")
_LOST_TO_S, _LOST_STEP = 3.6, 48
_SPREAD = 0.22
"""How far from the middle of its row a round is drawn at most, so that one does not hide the other."""


def machine_lost(cells: Sequence[Cell]) -> Picture:
    """Every round of the three systems with the same settings."""
    found = {cell.system.key: cell for cell in cells if cell.fault.key == "machine-lost" and cell.outcomes}
    lost = [found[key] for key in _AT_ONE_SECOND if key in found]
    rounds = max((len(cell.outcomes) for cell in lost), default=0)
    bottom = 92.0 + _LOST_STEP * len(lost)
    picture = Picture(
        *(860, bottom + 44, "How long nobody answers after the master's machine is lost"),
        *("The master's machine is lost: how long does nobody answer?",),
        *(f"All advertise each second. A dot is a round, of {rounds}; the bar is their median.",),
    )
    if not lost:
        return picture
    axes = picture.axes(130, 80, 760, bottom)
    axes.grid(False, axis="y")
    axes.spines.bottom.set_visible(False)
    axes.set_xlim(0, _LOST_TO_S)
    axes.set_xticks(range(4), ["0", "1 s", "2 s", "3 s"])
    _systems_at(axes, lost)
    axes.set_yticklabels(["carpsidecar" if cell.system.key == "ours" else cell.system.label for cell in lost])
    for row, cell in enumerate(lost):
        colour = _COLOURS[cell.system.key]
        values = cell.values(cell.fault.rows[0])
        _rounds(axes, row, values, colour, size=6)
        axes.vlines(median(values), row - 0.36, row + 0.36, color=colour, linewidth=4 * POINTS)
        style: dict[str, Any] = {"weight": "bold", "color": colour, "va": "center_baseline"}
        axes.text(
            1.015,
            row,
            duration(median(values)),
            transform=axes.get_yaxis_transform(),
            fontsize=16 * POINTS,
            **style,
        )
    return picture


def _rounds(axes: Axes, row: int, values: Sequence[float], colour: str, size: float) -> None:
    places = [row + _SPREAD * (number % 5 - 2) / 2 for number in range(len(values))]
    axes.plot(values, places, "o", color=colour, alpha=0.4, markersize=size * POINTS, markeredgewidth=0)


# Outage by fault.
_LEAST_S, _MOST_S = 0.001, 10.0
_TICKS = {0.0: "0", 0.001: "1 ms", 0.01: "10 ms", 0.1: "0.1 s", 1.0: "1 s", 10.0: "10 s"}
_ROW = 20
_COLUMNS = (
    ("outage", "The client is without an answer for"),
    ("two holders", "Two nodes answer for the address for"),
)
_Panel = tuple[Row, list[Cell]]


def outage_by_fault(cells: Sequence[Cell]) -> Picture:
    """Every round and the median of each fault at each system, on one logarithmic axis."""
    columns = [_panels(cells, measure) for measure, _ in _COLUMNS]
    heights = [sum(len(panel) * _ROW + 66 for _, panel in column) for column in columns]
    picture = Picture(
        *(980, 104 + max(heights), "Outage by fault and system", "What each fault of the master costs"),
        *("Large dot: median. Small ones: the rounds. Black mark: our goal; dotted, for every round.",),
    )
    for number, ((_, heading), column) in enumerate(zip(_COLUMNS, columns, strict=True)):
        left = 24.0 + number * 478
        picture.text(left, 94, heading, 15, SOFT)
        top = 136.0
        for row, panel in column:
            picture.text(left, top - 10, panel[0].fault.heading, 14, weight="bold")
            axes = picture.axes(left + 140, top, left + 372, top + len(panel) * _ROW)
            _fault(axes, row, panel, cells)
            top += len(panel) * _ROW + 66
    return picture


def _panels(cells: Sequence[Cell], measure: str) -> list[_Panel]:
    found: dict[str, _Panel] = {}
    for cell in cells:
        for row in cell.fault.rows:
            if cell.outcomes and row.measure == measure:
                found.setdefault(cell.fault.key, (row, []))[1].append(cell)
    return list(found.values())


def _fault(axes: Axes, row: Row, panel: Sequence[Cell], cells: Sequence[Cell]) -> None:
    axes.grid(False, axis="y")
    axes.spines.bottom.set_visible(False)
    axes.set_xscale("symlog", linthresh=_LEAST_S, linscale=0.8)
    axes.set_xlim(-_LEAST_S / 3, _MOST_S * 1.6)
    axes.set_xticks(list(_TICKS), list(_TICKS.values()))
    axes.set_xticks([], minor=True)
    _systems_at(axes, panel)
    for number, cell in enumerate(panel):
        for goal, most in goals_of(cell, row, cells):
            if not goal.half_of:
                mark = axes.vlines(most, number - 0.4, number + 0.4, color=INK, linewidth=1.6 * POINTS)
                mark.set_linestyle("-" if goal.of == "median" else ":")
        values = cell.values(row)
        middle = median(values)
        style_of_text: dict[str, Any] = {"weight": "bold"} if cell.system.key.startswith("ours") else {}
        text = duration(middle, "below 2 ms" if row.measure == "outage" else "never")
        if cell.still(row):
            style_of_text = {"weight": "bold", "color": VERMILLION}
            text = "for ever"
            ends = (_MOST_S * 1.5, number), (min(values), number)
            axes.annotate("", *ends, arrowprops={"arrowstyle": "-|>", "color": VERMILLION, "lw": 2.2 * POINTS})
        else:
            colour = _COLOURS[cell.system.key]
            _rounds(axes, number, values, colour, size=4)
            axes.plot(middle, number, "o", color=colour)
        style_of_text |= {"transform": axes.get_yaxis_transform(), "fontsize": 12.5 * POINTS}
        axes.text(1.345, number, text, ha="right", va="center_baseline", **style_of_text)


def _systems_at(axes: Axes, cells: Sequence[Cell]) -> None:
    """One system a row, from above; ours stand out."""
    axes.set_ylim(len(cells) - 0.5, -0.5)
    axes.set_yticks(range(len(cells)), [cell.system.label for cell in cells], color=INK, fontsize=12.5 * POINTS)
    axes.tick_params(axis="y", pad=9)
    for cell, label in zip(cells, axes.get_yticklabels(), strict=True):
        label.set_fontweight("bold" if cell.system.key.startswith("ours") else "normal")
