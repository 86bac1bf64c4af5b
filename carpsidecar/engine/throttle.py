"""Logging at a limited rate: however often something happens, and however long it lasts."""

import asyncio
from collections.abc import Callable, Hashable

_KEYS_MAX = 256
_ROUNDING = 1e-6
_REST = 4
_REMIND_FIRST_S, _REMIND_MAX_S = 10.0, 3600.0


class Throttle:
    """Lets each thing through once in a while, and counts what it held back meanwhile.

    It remembers a bounded number of things, so that a stranger who invents new ones cannot fill the memory; and all
    things together are let through a bounded number of times, so that neither can they fill the log: so many at
    once, and then as many in each `every_s`, evenly, so that something new is let through again before long.
    """

    def __init__(self, every_s: float, burst: int) -> None:
        self._every_s = every_s
        self._burst = burst
        self._left = float(burst)
        self._left_at = float("-inf")
        self._seen: dict[Hashable, tuple[float, int]] = {}

    def allow(self, now: float, thing: Hashable) -> int | None:
        """How often it was held back since it was last let through; None if it is held back now too."""
        self._left = min(self._burst, self._left + (now - self._left_at) * self._burst / self._every_s)
        self._left_at = now
        last, held_back = self._seen.get(thing, (float("-inf"), 0))
        if now - last < self._every_s or self._left < 1 - _ROUNDING:
            if thing in self._seen:
                self._seen[thing] = (last, held_back + 1)
            return None
        self._left -= 1
        if thing not in self._seen and len(self._seen) >= _KEYS_MAX:
            del self._seen[next(iter(self._seen))]
        self._seen[thing] = (now, 0)
        return held_back


class Reminder:
    """Logs again what keeps something from working, at growing intervals, for as long as it does.

    Args:
        log: takes a line.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, log: Callable[[str], object]) -> None:
        self._loop = loop
        self._log = log
        self.text = ""
        """What is logged again and again."""
        self._timer: asyncio.TimerHandle | None = None

    def about(self, text: str) -> None:
        """From now on this, which has been logged once; empty: nothing any more."""
        if text == self.text:
            return
        self.text = text
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if text:
            self._timer = self._loop.call_later(_REMIND_FIRST_S, self._remind, _REMIND_FIRST_S)

    def _remind(self, waited_s: float) -> None:
        self._log(self.text)
        every_s = min(2 * waited_s, _REMIND_MAX_S)
        self._timer = self._loop.call_later(every_s, self._remind, every_s)


class Reader:
    """Calls back when a descriptor is readable, and then rests for several times as long as that took.

    What comes without end is handled in larger portions, and leaves most of the time to everything else.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, descriptor: int, call: Callable[[], None]) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._call = call
        self._resting: asyncio.TimerHandle | None = None
        self._resume()

    def close(self) -> None:
        self._loop.remove_reader(self._descriptor)
        if self._resting is not None:
            self._resting.cancel()

    def _resume(self) -> None:
        self._resting = None
        self._loop.add_reader(self._descriptor, self._readable)

    def _readable(self) -> None:
        begun = self._loop.time()
        self._call()
        self._loop.remove_reader(self._descriptor)
        self._resting = self._loop.call_later(_REST * (self._loop.time() - begun), self._resume)
