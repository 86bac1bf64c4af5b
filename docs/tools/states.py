"""Draws the states of an election and the ways between them, as the code has them.

usage: python -m docs.tools.states FILE
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from bench.picture import BLUE, CARD, GREEN, GREY, INK, POINTS, SOFT, Picture
from carpsidecar.protocol.effects import State
from docs.tools.transitions import Way, transitions, ways

_WIDTH, _MARGIN = 800.0, 24.0
_BOX_WIDTH, _BOX_HEIGHT = 110.0, 64.0
_LEFT_OF = {State.INIT: 24.0, State.BACKUP: 266.0, State.MASTER: 666.0}
_COLOUR_OF = {State.INIT: GREY, State.BACKUP: BLUE, State.MASTER: GREEN}
_APART = 14.0
"""Of an arrow from the middle: to the right above it, to the left below."""
_LINE = 17.0
_AROUND = (State.MASTER, State.INIT)


def draw(labels: dict[Way, list[str]]) -> Picture:
    straight = {way: label for way, label in labels.items() if way != _AROUND}
    middle = _MARGIN + _LINE * max(len(label) for way, label in straight.items() if _rightwards(way)) + _APART + 10
    below = (
        middle + _LINE * max(len(label) for way, label in straight.items() if not _rightwards(way)) + _APART + 24
    )
    height = below + _LINE * len(labels[_AROUND]) + _MARGIN
    picture = Picture(_WIDTH, height, "The states of a node, and why it changes them")
    axes = picture.axes(0, 0, _WIDTH, height)
    axes.set_axis_off()
    axes.set_xlim(0, _WIDTH)
    axes.set_ylim(height, 0)
    for way, label in straight.items():
        _straight(axes, way, middle, label)
    _around(axes, middle, below, labels[_AROUND])
    for state in State:
        corner = _LEFT_OF[state], middle - _BOX_HEIGHT / 2
        box = FancyBboxPatch(corner, _BOX_WIDTH, _BOX_HEIGHT, boxstyle="round,pad=0,rounding_size=8", linewidth=0)
        box.set_facecolor(_COLOUR_OF[state])
        axes.add_patch(box)
        ink = INK if state is State.INIT else CARD
        style: dict[str, Any] = {"ha": "center", "weight": "bold", "color": ink, "fontsize": 17 * POINTS}
        axes.text(_LEFT_OF[state] + _BOX_WIDTH / 2, middle + 6, state.name, **style)
    return picture


def _rightwards(way: Way) -> bool:
    before, after = way
    return _LEFT_OF[before] < _LEFT_OF[after]


def _straight(axes: Axes, way: Way, middle: float, label: list[str]) -> None:
    start, end = (_LEFT_OF[state] for state in way)
    if _rightwards(way):
        start, y = start + _BOX_WIDTH, middle - _APART
        top = y - 10 - _LINE * (len(label) - 1)
    else:
        end, y = end + _BOX_WIDTH, middle + _APART
        top = y + 20
    _arrow(axes, [(start, y), (end, y)])
    _lines(axes, (start + end) / 2, top, label)


def _around(axes: Axes, middle: float, below: float, label: list[str]) -> None:
    start, end = (_LEFT_OF[state] + _BOX_WIDTH / 2 for state in _AROUND)
    bottom = middle + _BOX_HEIGHT / 2
    axes.plot([start, start, end], [bottom, below, below], color=SOFT, linewidth=1.5 * POINTS)
    _arrow(axes, [(end, below), (end, bottom)])
    _lines(axes, (start + end) / 2, below + 20, label)


def _lines(axes: Axes, x: float, top: float, label: Sequence[str]) -> None:
    for number, text in enumerate(label):
        axes.text(x, top + number * _LINE, text, ha="center", color=BLUE if text.startswith("→") else INK)


def _arrow(axes: Axes, between: Sequence[tuple[float, float]]) -> None:
    start, end = between
    style = {
        "arrowstyle": "->",
        "color": SOFT,
        "lw": 1.5 * POINTS,
        "shrinkA": 0,
        "shrinkB": 0,
        "mutation_scale": 12,
    }
    axes.annotate("", end, start, arrowprops=style)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(str(draw(ways(transitions()))))
