"""Draws the states of an election and the ways between them, as the code has them.

usage: python -m docs.tools.states FILE
"""

import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from bench.svg import BLUE, CARD, GREEN, GREY, INK, SOFT, Drawing
from carpsidecar.protocol.effects import State
from docs.tools.transitions import Transition, transitions

_WIDTH, _MARGIN = 800.0, 24.0
_BOX_WIDTH, _BOX_HEIGHT = 110.0, 64.0
_LEFT_OF = {State.INIT: 24.0, State.BACKUP: 266.0, State.MASTER: 666.0}
_COLOUR_OF = {State.INIT: GREY, State.BACKUP: BLUE, State.MASTER: GREEN}
_APART = 14.0
"""Of an arrow from the middle: to the right above it, to the left below."""
_LINE = 17.0


def draw(found: Sequence[Transition]) -> str:
    grouped = groupby(found, key=lambda one: (one.before, one.after))
    ways = {way: _label(list(on_the_way)) for way, on_the_way in grouped}
    around = ways.pop((State.MASTER, State.INIT))
    middle = _MARGIN + _LINE * max(len(label) for way, label in ways.items() if _rightwards(*way)) + _APART + 10
    below = middle + _LINE * max(len(label) for way, label in ways.items() if not _rightwards(*way)) + _APART + 24
    height = below + _LINE * len(around) + _MARGIN
    drawing = Drawing(_WIDTH, height, "The states of a node, and why it changes them")
    for way, label in ways.items():
        _straight(drawing, *way, middle, label)
    _around(drawing, State.MASTER, State.INIT, middle, below, around)
    for state in State:
        left, top = _LEFT_OF[state], middle - _BOX_HEIGHT / 2
        drawing.box(left, top, _BOX_WIDTH, _BOX_HEIGHT, _COLOUR_OF[state], radius=8)
        ink = INK if state is State.INIT else CARD
        x = left + _BOX_WIDTH / 2
        drawing.text(x, middle + 6, state.name, size=17, bold=True, colour=ink, anchor="middle")
    return str(drawing)


def _rightwards(before: State, after: State) -> bool:
    return _LEFT_OF[before] < _LEFT_OF[after]


def _label(found: Sequence[Transition]) -> list[tuple[str, str]]:
    """Lines of words with their colours: the reasons, and after those that share it, what is done."""
    lines: list[tuple[str, str]] = []
    effects_first = sorted(found, key=lambda one: one.effects)
    for effects, reasons in groupby(effects_first, key=lambda one: one.effects):
        lines += [(one.reason.value, INK) for one in reasons]
        if effects:
            lines.append(("→ " + ", ".join(effects), BLUE))
    return lines


def _straight(drawing: Drawing, before: State, after: State, middle: float, label: list[tuple[str, str]]) -> None:
    start, end = _LEFT_OF[before], _LEFT_OF[after]
    if _rightwards(before, after):
        start, y, to = start + _BOX_WIDTH, middle - _APART, "right"
        top = y - 10 - _LINE * (len(label) - 1)
    else:
        end, y, to = end + _BOX_WIDTH, middle + _APART, "left"
        top = y + 20
    drawing.line([(start, y), (end, y)], SOFT, 1.5)
    _head(drawing, end, y, to)
    _words(drawing, (start + end) / 2, top, label)


def _around(
    drawing: Drawing, before: State, after: State, middle: float, below: float, label: list[tuple[str, str]]
) -> None:
    start, end = (_LEFT_OF[state] + _BOX_WIDTH / 2 for state in (before, after))
    bottom = middle + _BOX_HEIGHT / 2
    drawing.line([(start, bottom), (start, below), (end, below), (end, bottom)], SOFT, 1.5)
    _head(drawing, end, bottom, "up")
    _words(drawing, (start + end) / 2, below + 20, label)


def _words(drawing: Drawing, x: float, top: float, label: list[tuple[str, str]]) -> None:
    for number, (words, colour) in enumerate(label):
        drawing.text(x, top + number * _LINE, words, colour=colour, anchor="middle")


def _head(drawing: Drawing, x: float, y: float, to: str) -> None:
    across, along = 4.5, 10.0
    points = {
        "right": [(x - along, y - across), (x, y), (x - along, y + across)],
        "left": [(x + along, y - across), (x, y), (x + along, y + across)],
        "up": [(x - across, y + along), (x, y), (x + across, y + along)],
    }[to]
    drawing.line(points, SOFT, 1.5)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(transitions()))
