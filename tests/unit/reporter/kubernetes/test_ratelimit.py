"""Waiting and limits."""

import pytest

from carpsidecar.reporter.kubernetes.ratelimit import Backoff, LogLimiter, TokenBucket


def test_waits_double_up_to_the_most_and_start_anew_after_a_success() -> None:
    backoff = Backoff(first_s=1.0, max_s=30.0)
    for ceiling_s in (1, 2, 4, 8, 16, 30, 30, *[30] * 100):
        wait_s = backoff.failed(100.0)
        assert ceiling_s / 2 <= wait_s <= ceiling_s
        assert backoff.due_at == 100.0 + wait_s
    backoff.reset()
    assert backoff.due_at < 0
    assert backoff.failed(0.0) <= 1.0


@pytest.mark.parametrize(("asked_s", "wait_s"), [(10.0, 10.0), (1e9, 300.0)])
def test_the_server_may_ask_for_more_but_not_for_ever(asked_s: float, wait_s: float) -> None:
    assert Backoff(first_s=1.0).failed(0.0, asked_s) == wait_s


def test_not_all_wait_equally_long() -> None:
    assert len({Backoff(first_s=1.0).failed(0.0) for _ in range(20)}) > 10


def test_a_bucket_lets_a_burst_through_and_then_one_by_one() -> None:
    bucket = TokenBucket(burst=3, every_s=10.0)
    for _ in range(3):
        assert bucket.due_in_s(0.0) == 0.0
        bucket.take(0.0)
    assert bucket.due_in_s(0.0) == pytest.approx(10.0)
    assert bucket.due_in_s(4.0) == pytest.approx(6.0)
    assert bucket.due_in_s(10.0) == pytest.approx(0.0)
    assert bucket.due_in_s(1000.0) == 0.0
    for _ in range(3):
        bucket.take(1000.0)
    assert bucket.due_in_s(1000.0) > 0.0


def test_a_thing_is_logged_once_in_a_while_and_again_after_it_was_over() -> None:
    limiter = LogLimiter(every_s=10.0, things_max=2)
    due = [
        f"{thing}{now:g}"
        for now, thing in ((0.0, "a"), (9.0, "a"), (10.0, "a"), (11.0, "b"), (12.0, "c"), (13.0, "a"))
        if limiter.due(now, thing)
    ]
    assert due == ["a0", "a10", "b11", "c12", "a13"], "the oldest is forgotten"
    assert limiter.forget("a")
    assert not limiter.forget("a")
