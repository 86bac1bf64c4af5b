"""What keeps a group waiting is logged again, ever later, until it is over."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from carpsidecar.engine.throttle import Reminder


class Clock:
    """The timers of a loop, which go off when a test lets them."""

    def __init__(self) -> None:
        self.timers: list[tuple[float, Callable[..., None], tuple[Any, ...]]] = []

    def call_later(self, delay_s: float, call: Callable[..., None], *arguments: Any) -> "Timer":
        self.timers.append((delay_s, call, arguments))
        return Timer(self, self.timers[-1])

    def next(self) -> float:
        """Let the one timer go off; after how long it would."""
        [(delay_s, call, arguments)] = self.timers
        self.timers.clear()
        call(*arguments)
        return delay_s


class Timer:
    def __init__(self, clock: Clock, entry: Any) -> None:
        self._clock, self._entry = clock, entry

    def cancel(self) -> None:
        if self._entry in self._clock.timers:
            self._clock.timers.remove(self._entry)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_at_growing_intervals_up_to_an_hour(clock: Clock) -> None:
    logged: list[str] = []
    Reminder(cast(Any, clock), logged.append).about("no link")
    waits_s = [clock.next() for _ in range(12)]
    assert waits_s == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600]
    assert logged == ["no link"] * 12


def test_no_more_when_it_is_over_and_anew_when_it_is_something_else(clock: Clock) -> None:
    logged: list[str] = []
    reminder = Reminder(cast(Any, clock), logged.append)
    reminder.about("no link")
    clock.next()
    reminder.about("no link")
    assert clock.next() == 20
    reminder.about("no address")
    assert clock.next() == 10
    reminder.about("")
    assert not clock.timers
    assert logged == ["no link", "no link", "no address"]
