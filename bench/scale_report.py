"""What size costs, in text, tables and pictures."""

from collections.abc import Callable, Sequence
from statistics import linear_regression
from typing import TYPE_CHECKING

from matplotlib.ticker import MaxNLocator

from bench.picture import BLUE, GREEN, SKY, VERMILLION, Picture
from bench.section import duration, image, table

if TYPE_CHECKING:
    from bench.scale import Scale, Size

ANNOUNCED_WITHIN_S = 0.1
"""A takeover of 255 addresses."""

_ONE = {"groups": "group", "addresses": "address", "IPv6 addresses": "IPv6 address", "nodes": "node"}
_Value = Callable[["Size"], float]
_COLUMNS: Sequence[tuple[str, Sequence[tuple[str, str, _Value]]]] = (
    (
        "failover, ms",
        (
            ("handed over: bow-out to last announcement", BLUE, lambda s: 1000 * s.handover_s),
            ("taken over: first advertisement to last announcement", SKY, lambda s: 1000 * s.takeover_s),
        ),
    ),
    (
        "processor, %",
        (
            ("master", VERMILLION, lambda s: s.processor_percent[0]),
            ("backup", GREEN, lambda s: s.processor_percent[1]),
        ),
    ),
    (
        "memory, MB",
        (
            ("master", VERMILLION, lambda s: s.memory_mb[0]),
            ("backup", GREEN, lambda s: s.memory_mb[1]),
        ),
    ),
)
_WIDTH, _HEIGHT, _GAP = 240, 150, 70
_TICKS = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])

_HOW_MEASURED = """\
An advertisement every second. Handed over: from the bow-out of a master that is stopped to its successor's
announcement of the last address. Taken over: after a kill -9, from the successor's first advertisement to its last
announcement; with many groups, which lose their master one after the other, the slowest of them. Times are medians.
All nodes run on this machine, the one that leaves, too, and so do the programs that watch them."""


def body(scale: "Scale") -> str:
    header = (
        *("size", "handed over in", "taken over in", "silence before (of 3 s)"),
        *("processor, master / backup", "memory, master / backup"),
    )
    rows = [
        (
            f"{size.size:,} {size.axis if size.size > 1 else _ONE[size.axis]}",
            duration(size.handover_s),
            duration(size.takeover_s),
            duration(size.silence_s),
            f"{size.processor_percent[0]:.1f} % / {size.processor_percent[1]:.1f} %",
            f"{size.memory_mb[0]:.1f} MB / {size.memory_mb[1]:.1f} MB",
        )
        for size in scale.sizes
    ]
    crowds = [
        (str(c.nodes), duration(c.failover_s), str(c.transitions), f"{c.packets_per_s:,.0f}", duration(c.real_s))
        for c in scale.crowds
    ]
    return "\n".join(
        [
            _HOW_MEASURED,
            "",
            *(f"- {slope}" for slope in _slopes(scale.sizes)),
            *(f"- {finding}" for finding in _findings(scale.sizes)),
            "",
            image("scale", "Failover, processor time and memory against size"),
            "",
            table(header, rows),
            "",
            "The same election in the simulator, on a network of half a millisecond:",
            "",
            table(
                ("nodes", "kill -9 to a new master", "transitions", "packets delivered a second", "took"), crowds
            ),
        ]
    )


def _slopes(sizes: Sequence["Size"]) -> list[str]:
    slopes = []
    for axis in dict.fromkeys(size.axis for size in sizes):
        mine = [size for size in sizes if size.axis == axis]
        if len(mine) < 2:
            continue

        def per(value: _Value, mine: Sequence["Size"] = mine) -> float:
            return linear_regression([size.size for size in mine], [value(size) for size in mine]).slope

        costs = [
            _cost(per(lambda s: 1e6 * s.takeover_s), "µs of a takeover", 0),
            _cost(per(lambda s: 1e6 * s.handover_s), "µs of a handover", 0),
            _cost(per(lambda s: s.processor_percent[0]), "% of a processor as master", 3),
            _cost(per(lambda s: s.processor_percent[1]), "% of one as backup", 3),
            _cost(per(lambda s: 1024 * s.memory_mb[0]), "kB", 1),
        ]
        slopes.append(f"each further {_ONE[axis]} costs {', '.join(filter(None, costs)) or 'nothing'}{_bend(mine)}")
    return slopes


def _cost(slope: float, unit: str, digits: int) -> str:
    """Empty where it is nothing: a slope downwards is noise."""
    shown = f"{slope:,.{digits}f}"
    return f"{shown} {unit}" if float(shown.replace(",", "")) > 0 else ""


def _bend(sizes: Sequence["Size"]) -> str:
    """Whether the takeover of the largest costs much more for each one than that of half of them."""
    if len(sizes) < 3:
        return ""
    first, middle, last = sizes[0], sizes[-2], sizes[-1]
    early = (middle.takeover_s - first.takeover_s) / (middle.size - first.size)
    late = (last.takeover_s - middle.takeover_s) / (last.size - middle.size)
    return "; not a straight line: the last ones cost more than twice as much" if late > 2 * early > 0 else ""


def _findings(sizes: Sequence["Size"]) -> list[str]:
    return [
        f"{size.size} {size.axis}: all announced {duration(size.takeover_s)} after a takeover began, and"
        f" {duration(size.handover_s)} after a handover did; {duration(ANNOUNCED_WITHIN_S)} was wanted"
        for size in sizes
        if size.size == 255
    ]


def plot(scale: "Scale") -> Picture:
    axes_of = list(dict.fromkeys(size.axis for size in scale.sizes))
    step = _HEIGHT + 84
    picture = Picture(
        *(60 + len(_COLUMNS) * (_WIDTH + _GAP), 110 + len(axes_of) * step, "Scale", "What size costs"),
        "Failover, processor time and memory by number of groups, addresses and nodes",
    )
    picture.key(80, [(colour, text) for text, colour, _ in (*_COLUMNS[0][1], *_COLUMNS[1][1])])
    for row, axis in enumerate(axes_of):
        mine = [size for size in scale.sizes if size.axis == axis]
        for column, (unit, series) in enumerate(_COLUMNS):
            left, top = 70.0 + column * (_WIDTH + _GAP), 138.0 + row * step
            axes = picture.axes(left, top, left + _WIDTH, top + _HEIGHT)
            axes.set_title(f"{axis}: {unit}", pad=9)
            axes.grid(False, axis="x")
            for _, colour, value in series:
                axes.plot([size.size for size in mine], list(map(value, mine)), "-o", color=colour, clip_on=False)
            ticks = _TICKS.tick_values(0, max(value(size) for _, _, value in series for size in mine))
            axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.set_ylim(0, ticks[-1])
            axes.set_xlim(0, mine[-1].size * 1.04)
            axes.set_xticks([size.size for size in mine], [f"{size.size:,}" for size in mine])
    return picture
