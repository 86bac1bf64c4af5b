"""What takes time to make, made no more often than its cost allows, however often it is requested."""

import time
from collections.abc import Callable

FRESH_S = 0.1
REST = 10
"""After each making comes a rest of so many times as long as it took, so that requests can't take up the loop."""


class Rested:
    """Makes it, and gives out the same for a while."""

    def __init__(self, make: Callable[[], bytes], clock: Callable[[], float] = time.monotonic) -> None:
        self._make = make
        self._clock = clock
        self._made = b""
        self._until = float("-inf")

    def __call__(self) -> bytes:
        begun = self._clock()
        if begun >= self._until:
            self._made = self._make()
            ended = self._clock()
            self._until = ended + max(FRESH_S, REST * (ended - begun))
        return self._made
