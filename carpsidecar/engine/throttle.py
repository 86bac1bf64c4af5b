"""Saying a thing at a limited rate, however often it happens."""

from collections.abc import Hashable

_KEYS_MAX = 256


class Throttle:
    """Lets each thing through once in a while, and counts what it held back meanwhile.

    It remembers a bounded number of things, so that a stranger who invents new ones cannot fill the memory; and all
    things together are let through a bounded number of times, so that neither can they fill the log.
    """

    def __init__(self, every_s: float, burst: int) -> None:
        self._every_s = every_s
        self._burst = burst
        self._window_ends = float("-inf")
        self._allowed_in_window = 0
        self._seen: dict[Hashable, tuple[float, int]] = {}

    def allow(self, now: float, thing: Hashable) -> int | None:
        """How often it was held back since it was last let through; None if it is held back now too."""
        if now >= self._window_ends:
            self._window_ends = now + self._every_s
            self._allowed_in_window = 0
        last, held_back = self._seen.get(thing, (float("-inf"), 0))
        if now - last < self._every_s or self._allowed_in_window >= self._burst:
            if thing in self._seen:
                self._seen[thing] = (last, held_back + 1)
            return None
        self._allowed_in_window += 1
        if thing not in self._seen and len(self._seen) >= _KEYS_MAX:
            del self._seen[next(iter(self._seen))]
        self._seen[thing] = (now, 0)
        return held_back
