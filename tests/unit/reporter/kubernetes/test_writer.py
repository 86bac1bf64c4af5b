"""The thread that writes: what is most urgent first, the newest only, and no hurry after a failure."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from carpsidecar.reporter.kubernetes.client import ApiError, Timing
from carpsidecar.reporter.kubernetes.writer import Done, Job, Writer

TIMING = Timing(backoff_max_s=0.05)


class Wish:
    """A source whose value is to be written; writing fails while there are `failures`."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.wanted = self.written = 0
        self.attempts: list[tuple[str, int]] = []
        self.failures: list[Exception] = []
        self.gate = threading.Event()
        self.gate.set()
        self.in_flight = threading.Event()

    def next(self, now: float, blocked: Callable[[str], float]) -> Job | float | None:
        if self.wanted == self.written:
            return None
        due_at = blocked(self.key)
        return due_at if due_at > now else Write(self, self.wanted)


class Write:
    def __init__(self, wish: Wish, value: int) -> None:
        self.wish = wish
        self.value = value

    @property
    def key(self) -> str:
        return self.wish.key

    def run(self) -> Done:
        self.wish.attempts.append((self.key, self.value))
        self.wish.in_flight.set()
        assert self.wish.gate.wait(5)
        if self.wish.failures:
            raise self.wish.failures.pop(0)

        def done() -> None:
            self.wish.written = self.value

        return done


class Bench:
    def __init__(self, timing: Timing = TIMING) -> None:
        self.lock = threading.Condition()
        self.first, self.second = Wish("first"), Wish("second")
        self.attempts: list[tuple[str, int]] = []
        self.first.attempts = self.second.attempts = self.attempts
        self.writer = Writer(self.lock, (self.first, self.second), timing)
        self.writer.start()

    def want(self, wish: Wish, value: int) -> None:
        with self.lock:
            wish.wanted = value
            self.writer.try_now()

    def settle(self, timeout_s: float = 5.0) -> bool:
        with self.lock:
            return self.writer.drain(time.monotonic() + timeout_s)

    def close(self) -> None:
        with self.lock:
            self.writer.stop()
        self.writer.join(5)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def test_what_came_while_a_write_was_under_way_is_written_once_and_as_it_is_then(bench: Bench) -> None:
    bench.first.gate.clear()
    bench.want(bench.first, 1)
    assert bench.first.in_flight.wait(5)
    for value in range(2, 100):
        bench.want(bench.second, value)
        bench.want(bench.first, value)
    bench.first.gate.set()
    assert bench.settle()
    assert bench.attempts == [("first", 1), ("first", 99), ("second", 99)]


def test_one_that_fails_does_not_hold_up_another(bench: Bench) -> None:
    bench.first.failures = [ApiError("server", "no", 500)] * 3
    with bench.lock:
        bench.first.wanted = bench.second.wanted = 1
        bench.writer.try_now()
    assert bench.settle()
    assert bench.attempts[:2] == [("first", 1), ("second", 1)]
    assert bench.attempts.count(("first", 1)) == 4


@pytest.mark.parametrize(
    "error",
    [
        ApiError("unreachable", "no"),
        ApiError("timeout", "no"),
        ApiError("throttled", "no", 429),
        ApiError("server", "", 503),
    ],
)
def test_a_server_that_is_away_is_away_for_all(bench: Bench, error: ApiError) -> None:
    bench.first.failures = [error] * 3
    with bench.lock:
        bench.first.wanted = bench.second.wanted = 1
        bench.writer.try_now()
    assert bench.settle()
    assert bench.attempts == [("first", 1)] * 4 + [("second", 1)]


def test_news_that_came_during_a_write_that_failed_need_not_wait() -> None:
    bench = Bench(replace(TIMING, backoff_max_s=1000.0, forbidden_s=1000.0))
    try:
        bench.first.failures = [ApiError("forbidden", "no", 403)]
        bench.first.gate.clear()
        bench.want(bench.first, 1)
        assert bench.first.in_flight.wait(5)
        bench.want(bench.first, 2)
        bench.first.gate.set()
        assert bench.settle()
        assert bench.attempts == [("first", 1), ("first", 2)]
    finally:
        bench.close()


def test_what_the_server_asks_for_is_waited_for_in_spite_of_news(bench: Bench) -> None:
    bench.first.failures = [ApiError("throttled", "no", 429, retry_after_s=0.5)]
    started = time.monotonic()
    bench.want(bench.first, 1)
    assert bench.first.in_flight.wait(5)
    bench.want(bench.first, 2)
    bench.want(bench.second, 2)
    assert bench.settle()
    assert bench.attempts == [("first", 1), ("first", 2), ("second", 2)]
    assert time.monotonic() - started > 0.5


def test_a_mistake_of_ours_does_not_end_the_thread(bench: Bench) -> None:
    bench.first.failures = [RuntimeError("a bug"), ZeroDivisionError()]
    bench.want(bench.first, 1)
    assert bench.settle()
    assert bench.first.written == 1


def test_the_thread_sleeps_while_there_is_nothing_to_do(bench: Bench) -> None:
    bench.want(bench.first, 1)
    assert bench.settle()
    asked = 0
    usual = bench.first.next

    def counting(now: float, blocked: Callable[[str], float]) -> Job | float | None:
        nonlocal asked
        asked += 1
        return usual(now, blocked)

    bench.first.next = counting  # type: ignore[method-assign]
    time.sleep(0.2)
    assert asked == 0


def test_waiting_for_the_end_ends_in_time(bench: Bench) -> None:
    bench.first.failures = [ApiError("unreachable", "no")] * 1000
    bench.want(bench.first, 1)
    started = time.monotonic()
    assert not bench.settle(0.2)
    assert time.monotonic() - started < 1.0
