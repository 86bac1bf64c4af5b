"""Keeps drains on the disk, in a thread: a disk may hang, and the election is not to wait for it."""

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable, Collection
from logging import WARNING
from typing import NamedTuple

from carpsidecar import drained
from carpsidecar.logs import in_words, log

_WAITING_MAX = 1024


class _Change(NamedTuple):
    groups: tuple[str, ...]
    text: str | None
    done: Callable[[str], None]


class DrainFiles:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.unwritten: Counter[str] = Counter()
        """How often each group's file, or the machine's, is still to be written: it says nothing until then."""
        self._loop = loop
        self._waiting: deque[_Change] = deque()
        self._works = False

    def store(self, groups: Collection[str], text: str | None, done: Callable[[str], None]) -> None:
        """Drained with this text; None: not drained. `done` is called with what went wrong; empty: nothing did."""
        if len(self._waiting) >= _WAITING_MAX:
            done(f"{drained.folder()} is not written: the disk is too slow")
            return
        self.unwritten.update(groups)
        self._begin(_Change(tuple(groups), text, done))

    def _begin(self, change: _Change) -> None:
        self._waiting.append(change)
        if not self._works:
            self._works = True
            threading.Thread(target=self._work, name="drains", daemon=True).start()

    def _work(self) -> None:
        while self._waiting:
            change = self._waiting.popleft()
            problem = _write(change)
            try:
                self._loop.call_soon_threadsafe(self._written, change, problem)
            except RuntimeError:  # the loop is closed: the engine has ended
                return
        self._loop.call_soon_threadsafe(self._rest)

    def _written(self, change: _Change, problem: str) -> None:
        self.unwritten -= Counter(change.groups)
        change.done(problem)

    def _rest(self) -> None:
        self._works = False
        if self._waiting:
            self._begin(self._waiting.popleft())


def _write(change: _Change) -> str:
    try:
        for group in change.groups:
            if change.text is None:
                drained.remove(group)
            else:
                drained.write(group, change.text)
    except OSError as error:
        otherwise = "is drained again at" if change.text is None else "drains until"
        when = "the engine's next start" if change.text is None else "the engine's end only"
        text = f"{drained.folder()} can't be written ({in_words(error)}): it {otherwise} {when}"
        log(WARNING, "drain_not_kept", text, group=change.groups[0])
        return text
    return ""
