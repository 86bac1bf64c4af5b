"""The terminal: its colours and width, tables on it, and a screen that is drawn again and again."""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

BOLD, RED, GREEN, YELLOW, DIM = "1", "1;31", "32", "33", "2"
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l\x1b[?7l", "\x1b[?7h\x1b[?25h\x1b[?1049l"
"""The second screen, without a cursor; a line that is too long does not go on in the next one."""
_HOME, _END_OF_LINE, _END_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


def takes_colour() -> bool:
    """Whether stdout is a terminal whose user wants them (no-color.org)."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def width() -> int | None:
    """Of stdout in columns; None where it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def styled(text: str, style: str) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if style else text


def aligned(rows: Iterable[Sequence[str]]) -> list[list[str]]:
    """The cells, each as wide as the widest of its column."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [[f"{cell:<{size}}" for cell, size in zip(row, widths, strict=True)] for row in rows]


def wrapped(text: str, columns: int) -> list[str]:
    """At least one line."""
    return textwrap.wrap(text, columns, break_on_hyphens=False) or [""]


@contextmanager
def full_screen() -> Iterator[None]:
    print(end=_ENTER, flush=True)
    try:
        yield
    finally:
        print(end=_LEAVE, flush=True)


def draw(lines: Sequence[str]) -> None:
    """In place of what is there, as far as it fits."""
    height = shutil.get_terminal_size().lines - 1
    if len(lines) > height:
        lines = [*lines[: height - 1], f"({len(lines) - height + 1} more lines)"]
    print(_HOME + "".join(f"{line}{_END_OF_LINE}\n" for line in lines), end=_END_OF_SCREEN)
    sys.stdout.flush()
