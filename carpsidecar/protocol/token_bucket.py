"""A limited rate."""


class TokenBucket:
    """So many a second, and as many at once."""

    def __init__(self, now: float, rate: float) -> None:
        self._rate = self._tokens = rate
        self._filled_s = now

    def take(self, now: float) -> bool:
        """Whether there was one left."""
        self._tokens = min(self._rate, self._tokens + (now - self._filled_s) * self._rate)
        self._filled_s = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
