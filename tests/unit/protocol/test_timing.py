"""The times of the protocol, as section 4 of the design writes them down."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carpsidecar.protocol.timing import (
    demoted_advskew,
    interval_ticks,
    lease_lifetime_s,
    master_down_ticks,
)

BYTE = st.integers(0, 255)
DEAD_RATIO = st.integers(1, 20)


@pytest.mark.parametrize(
    ("advbase", "advskew", "seconds"),
    [(1, 0, 1.0), (1, 128, 1.5), (3, 0, 3.0), (0, 128, 0.5), (0, 1, 1 / 256), (255, 255, 255 + 255 / 256)],
)
def test_the_interval_is_advbase_and_advskew_256ths(advbase: int, advskew: int, seconds: float) -> None:
    assert interval_ticks(advbase, advskew) / 256 == seconds


def test_both_zero_mean_one_256th_of_a_second() -> None:
    assert interval_ticks(0, 0) == 1


@pytest.mark.parametrize(
    ("advbase", "advskew", "dead_ratio", "seconds"),
    [(1, 0, 3, 3.0), (1, 128, 3, 3.5), (2, 64, 4, 8.25), (255, 255, 3, 765 + 255 / 256)],
)
def test_a_backup_waits_dead_ratio_times_advbase_and_the_skew_once(
    advbase: int, advskew: int, dead_ratio: int, seconds: float
) -> None:
    assert master_down_ticks(advbase, advskew, dead_ratio) / 256 == seconds


def test_below_a_second_the_dead_ratio_counts_too() -> None:
    assert master_down_ticks(0, 128, 3) / 256 == 1.5
    assert master_down_ticks(0, 0, 3) == 3


@given(BYTE, BYTE, st.integers(2, 20))
def test_no_backup_gives_up_before_the_second_advertisement_is_due(
    advbase: int, advskew: int, dead_ratio: int
) -> None:
    assert master_down_ticks(advbase, advskew, dead_ratio) > interval_ticks(advbase, advskew)


@given(BYTE, st.integers(0, 1000))
def test_demotion_raises_the_advskew_up_to_240_and_never_lowers_it(advskew: int, demotion: int) -> None:
    demoted = demoted_advskew(advskew, demotion)

    assert demoted == max(advskew, min(240, advskew + demotion))
    assert advskew <= demoted <= 255


def test_an_advskew_over_240_stays_when_demoted() -> None:
    assert demoted_advskew(250, 100) == 250


@pytest.mark.parametrize(
    ("advbase", "advskew", "dead_ratio", "lifetime_s"),
    [(1, 0, 3, 2), (1, 255, 3, 2), (2, 0, 3, 5), (1, 0, 2, 1), (0, 20, 3, 1), (0, 0, 3, 1), (1, 0, 5, 4)],
)
def test_the_lease_is_the_backups_patience_in_whole_seconds_less_one(
    advbase: int, advskew: int, dead_ratio: int, lifetime_s: int
) -> None:
    assert lease_lifetime_s(advbase, advskew, dead_ratio) == lifetime_s


@given(st.integers(1, 255), BYTE, st.integers(2, 20))
def test_the_lease_ends_before_a_backup_with_the_same_settings_takes_over(
    advbase: int, advskew: int, dead_ratio: int
) -> None:
    latest_s = lease_lifetime_s(advbase, advskew, dead_ratio) + 0.5

    assert latest_s < master_down_ticks(advbase, advskew, dead_ratio) / 256
