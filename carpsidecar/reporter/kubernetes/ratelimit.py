"""When to try again, and how often to write or to log a thing."""

import random
from collections.abc import Hashable

from msgspec import Struct

RETRY_AFTER_MAX_S = 300.0
_DOUBLINGS_MAX = 16


class Backoff(Struct):
    """Waits that double, each with half of it left to chance, so that all nodes don't come back in step."""

    first_s: float = 0.2
    max_s: float = 30.0
    due_at: float = float("-inf")
    failures: int = 0

    def failed(self, now: float, at_least_s: float = 0.0) -> float:
        """Seconds to wait from now on; the server may ask for more than it would be."""
        ceiling_s = min(self.max_s, self.first_s * 2 ** min(self.failures, _DOUBLINGS_MAX))
        wait_s: float = max(ceiling_s * random.uniform(0.5, 1.0), min(at_least_s, RETRY_AFTER_MAX_S))  # noqa: S311
        self.failures += 1
        self.due_at = now + wait_s
        return wait_s

    def reset(self) -> None:
        self.failures = 0
        self.due_at = float("-inf")


class TokenBucket:
    """Lets `burst` through at once, and one each `every_s` from then on."""

    def __init__(self, burst: int, every_s: float) -> None:
        self._burst = burst
        self._every_s = every_s
        self._tokens = float(burst)
        self._filled_at: float | None = None

    def due_in_s(self, now: float) -> float:
        """Seconds until there is a token; 0 if there is one."""
        self._fill(now)
        return 0.0 if self._tokens >= 1 else (1 - self._tokens) * self._every_s

    def take(self, now: float) -> None:
        self._fill(now)
        self._tokens = max(0.0, self._tokens - 1)

    def _fill(self, now: float) -> None:
        if self._filled_at is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._filled_at) / self._every_s)
        self._filled_at = now


class LogLimiter:
    """Whether a thing is due to be logged: when it is new, or was not for a while. Remembers a bounded number."""

    def __init__(self, every_s: float = 600.0, things_max: int = 256) -> None:
        self._every_s = every_s
        self._things_max = things_max
        self._logged: dict[Hashable, float] = {}

    def due(self, now: float, thing: Hashable) -> bool:
        """Whoever is told that it is due logs it."""
        if now - self._logged.get(thing, float("-inf")) < self._every_s:
            return False
        self._logged.pop(thing, None)
        if len(self._logged) >= self._things_max:
            del self._logged[next(iter(self._logged))]
        self._logged[thing] = now
        return True

    def forget(self, thing: Hashable) -> bool:
        """It is over; whether it was logged."""
        return self._logged.pop(thing, None) is not None
