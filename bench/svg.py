"""A drawing in SVG: on a light card of its own, for pages light and dark, in colours that all eyes tell apart."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal

INK, SOFT, FAINT, CARD = "#1f2933", "#616e7c", "#e4e7eb", "#ffffff"
BLUE, VERMILLION, GREY, ORANGE, PURPLE, SKY, GREEN = (
    *("#0072b2", "#d55e00", "#b8c1cc", "#e69f00", "#cc79a7", "#56b4e9", "#009e73"),
)
"""Okabe and Ito's palette; grey for what is only background."""

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', Arial, sans-serif"
Anchor = Literal["start", "middle", "end"]


@dataclass
class Drawing:
    """`title` is what a screen reader says."""

    width: float
    height: float
    title: str
    _parts: list[str] = field(default_factory=list)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float = 13,
        colour: str = INK,
        bold: bool = False,
        anchor: Anchor = "start",
        turned: bool = False,
    ) -> None:
        """`y` is the base line; `turned` to read upwards."""
        weight = ' font-weight="600"' if bold else ""
        turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
        place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turn}'
        self._parts.append(f'<text {place} font-size="{size:g}" fill="{colour}"{weight}>{escape(words)}</text>')

    def box(self, x: float, y: float, width: float, height: float, colour: str, radius: float = 0) -> None:
        rounded = f' rx="{radius:g}"' if radius else ""
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.2f}" height="{height:.1f}" fill="{colour}"{rounded}/>'
        )

    def line(self, points: Sequence[tuple[float, float]], colour: str, width: float = 1, dashes: str = "") -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}"'
            f' stroke-linecap="round" stroke-linejoin="round"{dashed}/>'
        )

    def dot(self, x: float, y: float, colour: str, radius: float = 4.5) -> None:
        self._parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{colour}" stroke="{CARD}" stroke-width="1"/>'
        )

    def arrow(self, x: float, y: float, colour: str, size: float = 6) -> None:
        """A head that points to the right."""
        points = f"{x:.1f},{y - size:.1f} {x + 1.5 * size:.1f},{y:.1f} {x:.1f},{y + size:.1f}"
        self._parts.append(f'<polygon points="{points}" fill="{colour}"/>')

    def key(self, x: float, y: float, entries: Sequence[tuple[str, str]], size: float = 13) -> None:
        """A square of each colour with its words, in a row; the squares stand on the base line."""
        for colour, words in entries:
            self.box(x, y - 0.8 * size, 0.85 * size, 0.85 * size, colour, radius=2)
            self.text(x + 1.25 * size, y, words, size=size, colour=SOFT)
            x += 2.8 * size + len(words) * 0.53 * size

    def __str__(self) -> str:
        size = f'width="{self.width:g}" height="{self.height:g}" viewBox="0 0 {self.width:g} {self.height:g}"'
        card = (
            f'<rect x="0.5" y="0.5" width="{self.width - 1:g}" height="{self.height - 1:g}" rx="8" fill="{CARD}"'
            f' stroke="{FAINT}"/>'
        )
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="{_FONT}">'
        return "\n".join([head, f"<title>{escape(self.title)}</title>", card, *self._parts, "</svg>", ""])


def duration(seconds: float, zero: str = "0") -> str:
    """As people say it: with two digits or three, in milliseconds below a second."""
    if seconds <= 0:
        return zero
    if seconds < 0.0995:
        return f"{seconds * 1000:.2g} ms" if seconds >= 0.00095 else "1 ms"
    return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.2f} s"
