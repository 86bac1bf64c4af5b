"""The terminal: whether it takes colours, how wide it is, and drawing on all of it."""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l\x1b[?7l", "\x1b[?7h\x1b[?25h\x1b[?1049l"
"""The second screen, without a cursor; a line that is too long does not go on in the next one."""
_HOME, _END_OF_LINE, _END_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


def takes_colour() -> bool:
    """Whether the standard output is a terminal whose user wants colours (no-color.org)."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def width() -> int | None:
    """Of the standard output; None where that is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


@contextmanager
def full_screen() -> Iterator[None]:
    """At the end, the terminal looks as it did before."""
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
