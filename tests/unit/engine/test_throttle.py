"""Saying a thing at a limited rate."""

from carpsidecar.engine.throttle import Throttle


def test_a_thing_is_let_through_once_in_a_while() -> None:
    throttle = Throttle(60, burst=10)
    assert throttle.allow(0, "a") == 0
    assert [throttle.allow(second, "a") for second in range(1, 60)] == [None] * 59
    assert throttle.allow(60, "a") == 59
    assert throttle.allow(61, "a") is None
    assert throttle.allow(120, "a") == 1


def test_things_do_not_hold_each_other_back() -> None:
    throttle = Throttle(60, burst=10)
    assert [throttle.allow(0, thing) for thing in "aba"] == [0, 0, None]


def test_all_things_together_are_let_through_a_bounded_number_of_times() -> None:
    throttle = Throttle(60, burst=10)
    allowed = [n for n in range(1000) if throttle.allow(1, n) is not None]
    assert allowed == list(range(10))
    assert throttle.allow(61, "new") == 0


def test_one_that_comes_again_is_let_through_soon_after_a_flood_of_others() -> None:
    throttle = Throttle(60, burst=20)
    for n in range(1000):
        throttle.allow(1, n)
    assert [throttle.allow(second, "peer") for second in (2, 3, 4)] == [None, None, 0]


def test_whoever_invents_new_things_for_ever_fills_neither_log_nor_memory() -> None:
    throttle = Throttle(1, burst=100)
    allowed = 0
    for n in range(100_000):
        allowed += throttle.allow(n / 1000, n) is not None
    assert 100 * 100 <= allowed <= 101 * 100
    assert len(throttle._seen) <= 256


def test_a_rate_of_one_a_second_starts_with_the_first_thing_and_not_with_the_clock() -> None:
    throttle = Throttle(1, burst=1)
    assert throttle.allow(1e9, "a") == 0
    assert throttle.allow(1e9 + 0.9, "b") is None
    assert throttle.allow(1e9 + 1, "b") == 0
