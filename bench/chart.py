"""A panel with axes in a drawing: lines with dots over a linear or a logarithmic scale."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log10

from bench.svg import CARD, FAINT, INK, SOFT, Drawing

Tick = tuple[float, str]


@dataclass
class Panel:
    """`left` to `right` and `top` to `bottom` is where the lines go; the words stand around it."""

    drawing: Drawing
    left: float
    top: float
    right: float
    bottom: float
    x: Callable[[float], float]
    y: Callable[[float], float]

    def frame(self, heading: str, x_ticks: Sequence[Tick], y_ticks: Sequence[Tick]) -> None:
        self.drawing.text(self.left, self.top - 14, heading, size=14, bold=True)
        for value, words in y_ticks:
            y = self._y(value)
            self.drawing.line([(self.left, y), (self.right, y)], FAINT)
            self.drawing.text(self.left - 8, y + 4, words, size=11, colour=SOFT, anchor="end")
        for value, words in x_ticks:
            self.drawing.text(self._x(value), self.bottom + 17, words, size=11, colour=SOFT, anchor="middle")
        self.drawing.line([(self.left, self.bottom), (self.right, self.bottom)], SOFT)

    def series(self, points: Sequence[tuple[float, float]], colour: str, dashes: str = "") -> None:
        places = [(self._x(x), self._y(y)) for x, y in points]
        self.drawing.line(places, colour, 2.2, dashes)
        for x, y in places:
            self.drawing.dot(x, y, colour)

    def point_out(self, value: float, words: str) -> None:
        """A place on the axis of x."""
        x = self._x(value)
        self.drawing.line([(x, self.top), (x, self.bottom)], SOFT, 1.2, "2 4")
        self.drawing.text(x, self.top - 2, words, size=11, colour=SOFT, anchor="middle")

    def mark(self, value: float, words: str) -> None:
        """A level that something is to stay below."""
        y = self._y(value)
        self.drawing.line([(self.left, y), (self.right, y)], INK, 1.2, "5 4")
        self.drawing.box(self.right - 7 * len(words) - 4, y - 16, 7 * len(words), 13, CARD)
        self.drawing.text(self.right - 4, y - 5, words, size=11, anchor="end")

    def _x(self, value: float) -> float:
        return self.left + (self.right - self.left) * self.x(value)

    def _y(self, value: float) -> float:
        return self.bottom - (self.bottom - self.top) * self.y(value)


def linear(least: float, most: float) -> Callable[[float], float]:
    return lambda value: (value - least) / ((most - least) or 1)


def logarithmic(least: float, most: float) -> Callable[[float], float]:
    return lambda value: log10(max(value, least) / least) / log10(most / least)


def round_ticks(most: float, unit: str = "") -> list[Tick]:
    """From zero to at least `most`, some four of them at round numbers."""
    step = 10.0 ** int(log10(most or 1) - 1 if most < 1 else log10(most))
    while most / step > 5:
        step *= 2
    while most / step < 2.5:
        step /= 2
    ticks = [(0.0, f"0{unit}")]
    while ticks[-1][0] < most:
        value = ticks[-1][0] + step
        ticks.append((value, f"{value:g}{unit}"))
    return ticks
