"""The failover benchmark as pictures."""

from collections.abc import Sequence
from math import log10
from statistics import median

from bench.failover import Cell, goal_of
from bench.svg import BLUE, FAINT, GREY, INK, ORANGE, PURPLE, SKY, SOFT, VERMILLION, Drawing, duration

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
_BAR_HEIGHT, _BAR_STEP = 22, 30
_GAP_WIDTH_MIN = 2.0
_ROOM_FOR_WORDS = 70.0


def client_view(cells: Sequence[Cell]) -> Drawing:
    """Who answered the client, from before the fault until after it, in the median round of each system."""
    panels = [[cell for cell in cells if cell.fault.key == key and cell.outcomes] for key in _VIEW]
    panels = [panel for panel in panels if panel]
    rows = sum(len(panel) for panel in panels)
    drawing = Drawing(860, 92 + rows * _BAR_STEP + len(panels) * 62, "The client's view of one failover")
    drawing.text(24, 36, "What a client sees when the master goes", size=19, bold=True)
    drawing.text(24, 58, "It asks the shared address every 2 ms. The median round of each system.", colour=SOFT)
    drawing.key(
        *(24, 82),
        [(GREY, "the master answers"), (VERMILLION, "nobody answers"), (BLUE, "its backup answers")],
    )
    y = 116.0
    for panel in panels:
        y = _view_panel(drawing, y, panel)
    return drawing


def _view_panel(drawing: Drawing, top: float, cells: Sequence[Cell]) -> float:
    left, right = 170.0, 836.0
    scale = (right - left) / (_VIEW_TO_S - _VIEW_FROM_S)

    def x(at_s: float) -> float:
        return left + (min(max(at_s, _VIEW_FROM_S), _VIEW_TO_S) - _VIEW_FROM_S) * scale

    drawing.text(24, top, cells[0].fault.heading, size=15, bold=True)
    top += 12
    bottom = top + len(cells) * _BAR_STEP
    for second in range(int(_VIEW_TO_S) + 1):
        drawing.line([(x(second), top), (x(second), bottom)], SOFT if second == 0 else FAINT)
        words = "fault" if second == 0 else f"{second} s"
        drawing.text(x(second), bottom + 14, words, size=12, colour=SOFT, anchor="middle")
    for number, cell in enumerate(cells):
        y = top + number * _BAR_STEP + (_BAR_STEP - _BAR_HEIGHT) / 2
        ours = cell.system.key.startswith("ours")
        drawing.text(left - 12, y + 16, cell.system.label, bold=ours, anchor="end")
        outcome = cell.typical
        start = outcome.path.unanswered_s
        end = outcome.path.answered_s
        # The client's own time: what the lab took to begin the fault is no system's doing.
        start, end = (0.0, end - start) if start is not None and end is not None else (0.0, 0.0)
        gap = max(x(end) - x(start), _GAP_WIDTH_MIN if end > start else 0.0)
        drawing.box(left, y, x(start) - left, _BAR_HEIGHT, GREY)
        drawing.box(x(start) + gap, y, right - x(start) - gap, _BAR_HEIGHT, BLUE)
        drawing.box(x(start), y, gap, _BAR_HEIGHT, VERMILLION)
        said = duration(outcome.outage_s, "below 2 ms")
        if gap >= _ROOM_FOR_WORDS:
            drawing.text(x(start) + gap / 2, y + 16, said, colour="#ffffff", bold=True, anchor="middle")
        else:
            drawing.text(x(start) + gap + 8, y + 16, said, colour="#ffffff", bold=True)
    return bottom + 50


# Outage by fault.
_LEAST_S, _MOST_S = 0.001, 10.0
_TICKS = ((0.001, "1 ms"), (0.01, "10 ms"), (0.1, "0.1 s"), (1.0, "1 s"), (10.0, "10 s"))
_ROW = 20
_COLUMNS = (
    ("outage", "The client is without an answer for"),
    ("two holders", "Two nodes hold the address for"),
)


def outage_by_fault(cells: Sequence[Cell]) -> Drawing:
    """Median and spread of each fault at each system, on one logarithmic axis."""
    by_fault: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.outcomes and cell.fault.measure != "transitions":
            by_fault.setdefault(cell.fault.key, []).append(cell)
    columns = [[p for p in by_fault.values() if p[0].fault.measure == measure] for measure, _ in _COLUMNS]
    heights = [sum(len(panel) * _ROW + 66 for panel in column) for column in columns]
    drawing = Drawing(980, 104 + max(heights), "Outage by fault and system")
    drawing.text(24, 36, "What each fault of the master costs", size=19, bold=True)
    drawing.text(
        24, 58, "Dot: median of the rounds. Line: from the least to the most. Black mark: our goal.", colour=SOFT
    )
    for number, ((_, heading), column) in enumerate(zip(_COLUMNS, columns, strict=True)):
        left = 24.0 + number * 478
        drawing.text(left, 94, heading, size=15, colour=SOFT)
        y = 126.0
        for panel in column:
            y = _fault_panel(drawing, left, y, panel, cells)
    return drawing


def _fault_panel(drawing: Drawing, left: float, top: float, panel: Sequence[Cell], cells: Sequence[Cell]) -> float:
    zero, low, high = left + 146, left + 182, left + 362
    values = left + 450

    def x(seconds: float) -> float:
        if seconds < _LEAST_S / 2:
            return zero
        return low + (high - low) * (log10(min(max(seconds, _LEAST_S), _MOST_S) / _LEAST_S)) / 4

    drawing.text(left, top, panel[0].fault.heading, size=14, bold=True)
    top += 10
    bottom = top + len(panel) * _ROW
    ticks = [(zero, "0"), *((x(at), words) for at, words in _TICKS)]
    for at, words in ticks:
        drawing.line([(at, top), (at, bottom)], FAINT)
        drawing.text(at, bottom + 14, words, size=11, colour=SOFT, anchor="middle")
    for number, cell in enumerate(panel):
        y = top + (number + 0.5) * _ROW
        ours = cell.system.key.startswith("ours")
        colour = _COLOURS[cell.system.key]
        drawing.text(zero - 12, y + 4.5, cell.system.label, size=12.5, bold=ours, anchor="end")
        goal = goal_of(cell, cells)
        if goal is not None:
            drawing.line([(x(goal), y - 8), (x(goal), y + 8)], INK, 1.6)
        middle = median(cell.values)
        if cell.still:
            drawing.line([(x(min(cell.values)), y), (high + 14, y)], VERMILLION, 2.5)
            drawing.arrow(high + 14, y, VERMILLION)
            drawing.text(values, y + 4.5, "for ever", size=12.5, colour=VERMILLION, bold=True, anchor="end")
            continue
        drawing.line([(x(min(cell.values)), y), (x(max(cell.values)), y)], colour, 2.5)
        drawing.dot(x(middle), y, colour)
        drawing.text(
            values,
            y + 4.5,
            duration(middle, "below 2 ms" if cell.fault.measure == "outage" else "never"),
            size=12.5,
            bold=ours,
            anchor="end",
        )
    return bottom + 56
