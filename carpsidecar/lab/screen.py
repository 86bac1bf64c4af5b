"""The demo's output: rows redrawn in place on a terminal, plain lines anywhere else."""

import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Self

_REDRAW_INTERVAL_S = 0.1
_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_CLEAR_TO_END = "\x1b[J"
_COLOURS = {"red": 31, "green": 32, "yellow": 33, "dim": 2, "bold": 1}


class Screen:
    """`rows` gives the lines as they are now, `clock` one more that changes all the time, for terminals only."""

    def __init__(self, rows: Callable[[], Sequence[str]], clock: Callable[[], str]) -> None:
        self.live = sys.stdout.isatty()
        self._rows = rows
        self._clock = clock
        self._drawn: list[str] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._redraw_until_closed, daemon=True)

    def write(self, text: str) -> None:
        """A line that stays."""
        with self._lock:
            self._erase()
            print(text)
            self._draw()

    def __enter__(self) -> Self:
        if self.live:
            print(end=_HIDE_CURSOR)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closing.set()
        self._thread.join()
        with self._lock:
            self._erase()
            print(end=_SHOW_CURSOR if self.live else "", flush=True)

    def _redraw_until_closed(self) -> None:
        while not self._closing.wait(_REDRAW_INTERVAL_S):
            with self._lock:
                self._draw()

    def _erase(self) -> None:
        if self.live and self._drawn:
            print(end=f"\x1b[{len(self._drawn)}A\r{_CLEAR_TO_END}")
            self._drawn = []

    def _draw(self) -> None:
        rows = list(self._rows())
        if self.live:
            self._erase()
            rows = ["", *rows, self._clock(), ""]
            print("\n".join(rows))
        else:
            for row in rows:
                if row not in self._drawn:
                    print(row)
        self._drawn = rows
        sys.stdout.flush()


def coloured(text: str, colour: str) -> str:
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"
