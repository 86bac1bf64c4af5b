"""How pictures look: on a light card of their own, for pages light and dark, in colours that all eyes tell apart.

Measures are those of a browser: pixels from the upper left corner.
"""

from collections.abc import Sequence
from io import StringIO

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch

INK, SOFT, FAINT, CARD = "#1f2933", "#616e7c", "#e4e7eb", "#ffffff"
BLUE, VERMILLION, GREY, ORANGE, PURPLE, SKY, GREEN = (
    *("#0072b2", "#d55e00", "#b8c1cc", "#e69f00", "#cc79a7", "#56b4e9", "#009e73"),
)
"""Okabe and Ito's palette; grey for what is only background."""

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', Arial, sans-serif"
_PER_INCH = 96
_MARGIN = 24
POINTS = 72 / _PER_INCH
"""A size in matplotlib's points of one in pixels."""

mpl.rcParams.update(
    {
        # The same data make the same file. Texts stay texts in the reader's font, which is hardly wider than ours.
        "svg.hashsalt": "carpsidecar",
        "svg.fonttype": "none",
        "font.family": "DejaVu Sans",
        "font.size": 13 * POINTS,
        "text.color": INK,
        "axes.facecolor": "none",
        "axes.edgecolor": SOFT,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.labelcolor": SOFT,
        "axes.labelsize": 12 * POINTS,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "axes.titlesize": 14 * POINTS,
        "grid.color": FAINT,
        "grid.linewidth": 0.8,
        "xtick.color": SOFT,
        "ytick.color": SOFT,
        "xtick.labelsize": 11 * POINTS,
        "ytick.labelsize": 11 * POINTS,
        "xtick.major.pad": 6 * POINTS,
        "ytick.major.pad": 8 * POINTS,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "xtick.minor.size": 0,
        "ytick.minor.size": 0,
        "lines.linewidth": 2.2 * POINTS,
        "lines.markersize": 9 * POINTS,
        "lines.markeredgecolor": CARD,
        "lines.markeredgewidth": 1 * POINTS,
        "lines.solid_capstyle": "round",
        "lines.dash_capstyle": "round",
    }
)


class Picture:
    """A card with a heading; `name` is what a screen reader says."""

    def __init__(self, width: float, height: float, name: str, heading: str = "", under_it: str = "") -> None:
        self.width, self.height, self.name = width, height, name
        self.figure = Figure(figsize=(width / _PER_INCH, height / _PER_INCH))
        self.figure.patch.set_visible(False)
        card = FancyBboxPatch(
            (0.5 / _PER_INCH, 0.5 / _PER_INCH),
            (width - 1) / _PER_INCH,
            (height - 1) / _PER_INCH,
            boxstyle=f"round,pad=0,rounding_size={8 / _PER_INCH}",
            transform=self.figure.dpi_scale_trans,
            facecolor=CARD,
            edgecolor=FAINT,
            linewidth=POINTS,
            zorder=-1,
        )
        self.figure.add_artist(card)
        self.text(_MARGIN, 36, heading, 19, weight="bold")
        self.text(_MARGIN, 58, under_it, colour=SOFT)

    def text(
        self, x: float, y: float, words: str, size: float = 13, colour: str = INK, weight: str = "normal"
    ) -> None:
        """`y` is the base line."""
        if words:
            place = x / self.width, 1 - y / self.height
            self.figure.text(*place, words, fontsize=size * POINTS, color=colour, weight=weight)

    def key(self, y: float, entries: Sequence[tuple[str, str]]) -> None:
        """A square of each colour with its words, in a row."""
        self.figure.legend(
            handles=[Patch(color=colour, label=words) for colour, words in entries],
            loc="center left",
            bbox_to_anchor=(_MARGIN / self.width, 1 - y / self.height),
            ncols=len(entries),
            frameon=False,
            labelcolor=SOFT,
            handlelength=0.85,
            handleheight=0.85,
            handletextpad=0.4,
            columnspacing=1.4,
            borderpad=0,
            borderaxespad=0,
            fontsize=13 * POINTS,
        )

    def axes(self, left: float, top: float, right: float, bottom: float) -> Axes:
        box = (
            left / self.width,
            1 - bottom / self.height,
            (right - left) / self.width,
            (bottom - top) / self.height,
        )
        return self.figure.add_axes(box)

    def __str__(self) -> str:
        """The SVG."""
        text = StringIO()
        self.figure.savefig(text, format="svg", metadata={"Title": self.name, "Date": None, "Creator": None})
        lines = text.getvalue().replace("'DejaVu Sans'", _FONT).splitlines()
        return "\n".join(line.rstrip() for line in lines) + "\n"
