"""The work queue and its worker: most urgent first, the newest only, and no hurry after a failure."""

import threading
import time
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from carpsidecar.reporter.kubernetes.client import ApiError, Timing
from carpsidecar.reporter.kubernetes.workqueue import Item, Worker, WorkQueue

TIMING = Timing(backoff_max_s=0.05)
FIRST, SECOND = Item(0, "first"), Item(1, "second")


class Target:
    """Its observed value is to become the desired one; writing fails while there are `failures`."""

    def __init__(self, name: str, attempts: list[tuple[str, int]]) -> None:
        self.name = name
        self.desired = self.observed = 0
        self.attempts = attempts
        self.reconciled = 0
        self.requeue_after_s: float | None = None
        self.failures: list[Exception] = []
        self.gate = threading.Event()
        self.gate.set()
        self.in_flight = threading.Event()

    def reconcile(self, _: tuple[str, ...]) -> float | None:
        self.reconciled += 1
        desired = self.desired
        if desired == self.observed:
            return None
        self.attempts.append((self.name, desired))
        self.in_flight.set()
        assert self.gate.wait(5)
        if self.failures:
            raise self.failures.pop(0)
        self.observed = desired
        return self.requeue_after_s


class Fixture:
    def __init__(self, timing: Timing = TIMING) -> None:
        self.attempts: list[tuple[str, int]] = []
        self.first, self.second = Target("first", self.attempts), Target("second", self.attempts)
        self.queue = WorkQueue(timing)
        self.worker = Worker(
            self.queue, {"first": self.first.reconcile, "second": self.second.reconcile}, urgent=True
        )

    def start(self) -> None:
        self.worker.start()

    def want(self, item: Item, value: int) -> None:
        target = self.first if item is FIRST else self.second
        target.desired = value
        self.queue.add(item)
        self.queue.retry_now()

    def settle(self, timeout_s: float = 5.0) -> bool:
        return self.queue.drain(time.monotonic() + timeout_s)

    def close(self) -> None:
        self.queue.shut_down()
        self.worker.join(5)


@pytest.fixture
def work() -> Iterator[Fixture]:
    work = Fixture()
    work.start()
    yield work
    work.close()


def test_what_came_while_a_write_was_under_way_is_written_once_and_as_it_is_then(work: Fixture) -> None:
    work.first.gate.clear()
    work.want(FIRST, 1)
    assert work.first.in_flight.wait(5)
    for value in range(2, 100):
        work.want(SECOND, value)
        work.want(FIRST, value)
    work.first.gate.set()
    assert work.settle()
    assert work.attempts == [("first", 1), ("first", 99), ("second", 99)]


def test_an_item_that_is_added_many_times_is_handed_out_once(work: Fixture) -> None:
    with work.queue._changed:
        for _ in range(100):
            work.queue.add(SECOND)
    assert work.settle()
    assert work.second.reconciled == 1


def test_one_that_fails_does_not_hold_up_another() -> None:
    work = Fixture()
    work.first.failures = [ApiError("server", "no", 500)] * 3
    work.want(FIRST, 1)
    work.want(SECOND, 1)
    work.start()
    assert work.settle()
    assert work.attempts[:2] == [("first", 1), ("second", 1)]
    assert work.attempts.count(("first", 1)) == 4
    work.close()


@pytest.mark.parametrize(
    "error",
    [
        ApiError("unreachable", "no"),
        ApiError("timeout", "no"),
        ApiError("throttled", "no", 429),
        ApiError("server", "", 503),
    ],
)
def test_a_server_that_is_away_is_away_for_all(error: ApiError) -> None:
    work = Fixture()
    work.first.failures = [error] * 3
    work.want(FIRST, 1)
    work.want(SECOND, 1)
    work.start()
    assert work.settle()
    assert work.attempts == [("first", 1)] * 4 + [("second", 1)]
    work.close()


def test_an_answer_ends_the_waiting_for_a_server_that_was_away() -> None:
    work = Fixture(replace(TIMING, backoff_max_s=1000.0))
    work.queue._server.first_s = 1000.0
    work.first.failures = [ApiError("unreachable", "no")]
    work.want(FIRST, 1)
    work.start()
    assert work.first.in_flight.wait(5)
    assert not work.settle(0.2)
    work.queue.server_answered()
    assert work.settle()
    assert work.first.observed == 1
    work.close()


@pytest.mark.parametrize("error", [ApiError("forbidden", "no", 403), ApiError("unreachable", "no")])
def test_what_is_new_since_a_write_that_failed_began_need_not_wait(error: ApiError) -> None:
    work = Fixture(replace(TIMING, backoff_max_s=1000.0, forbidden_s=1000.0))
    work.queue._server.first_s = 1000.0
    work.first.failures = [error]
    work.first.gate.clear()
    work.want(FIRST, 1)
    work.start()
    assert work.first.in_flight.wait(5)
    work.want(FIRST, 2)
    work.first.gate.set()
    assert work.settle()
    assert work.attempts == [("first", 1), ("first", 2)]
    work.close()


def test_what_the_server_asks_for_is_waited_for_in_spite_of_news(work: Fixture) -> None:
    work.first.failures = [ApiError("throttled", "no", 429, retry_after_s=0.5)]
    started = time.monotonic()
    work.want(FIRST, 1)
    assert work.first.in_flight.wait(5)
    work.want(FIRST, 2)
    work.want(SECOND, 2)
    work.queue.server_answered()
    assert work.settle()
    assert work.attempts == [("first", 1), ("first", 2), ("second", 2)]
    assert time.monotonic() - started > 0.5


def test_a_mistake_of_ours_does_not_end_the_thread(work: Fixture) -> None:
    work.first.failures = [RuntimeError("a bug"), ZeroDivisionError()]
    work.want(FIRST, 1)
    assert work.settle()
    assert work.first.observed == 1


def test_what_is_to_be_looked_at_later_comes_then_and_is_not_waited_for_at_the_end(work: Fixture) -> None:
    work.first.requeue_after_s = 0.3
    work.want(FIRST, 1)
    assert work.settle(0.25)
    assert work.first.reconciled == 1
    work.first.in_flight.clear()
    work.first.desired = 2
    assert work.first.in_flight.wait(5)


def test_the_thread_sleeps_while_there_is_nothing_to_do(work: Fixture) -> None:
    work.want(FIRST, 1)
    assert work.settle()
    before = work.first.reconciled
    time.sleep(0.2)
    assert work.first.reconciled == before


def test_waiting_for_the_end_ends_in_time(work: Fixture) -> None:
    work.first.failures = [ApiError("unreachable", "no")] * 1000
    work.want(FIRST, 1)
    started = time.monotonic()
    assert not work.settle(0.2)
    assert time.monotonic() - started < 1.0
