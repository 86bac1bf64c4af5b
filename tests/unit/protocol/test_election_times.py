"""Intervals, leases and failing sends: when the election wants to be called, and what it does then."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carpsidecar.protocol.election import Addresses, Advertise, Election, Reason, Settings, State
from carpsidecar.protocol.timing import interval_ticks
from tests.unit.protocol.peers import ANNOUNCE, BOW_OUT, LOWER, RELEASE, RENEW, backup, became, due, hear, master

KERNEL_EARLIEST = 0.9
"""Linux drops an address as early as after this part of its lifetime."""
KERNEL_LATEST_EXTRA_S = 0.5

# Sub-second intervals.


def test_with_advbase_0_a_backup_waits_dead_ratio_intervals() -> None:
    election = backup(advbase=0, advskew=64)

    assert due(election) == 0.75
    assert list(election.timer_expired(0.74)) == []


def test_the_fastest_carp_advertises_256_times_a_second() -> None:
    election = master(advbase=0, advskew=0)
    became_at = 3 / 256

    assert due(election) == became_at + 1 / 256
    assert list(election.timer_expired(due(election))) == [RENEW, Advertise(0, 0)]
    assert due(election) == became_at + 2 / 256


def test_below_a_second_the_lease_is_the_backups_patience() -> None:
    election = master(advbase=0, advskew=64)

    assert election.lifetime_s == 1
    assert election.lease_until == 0.75 + 0.75
    assert became(election.timer_expired(1.5)).reason is Reason.LEASE_MISSED


# Leases.


def renewals(election: Election, until: float) -> list[float]:
    """When the master renewed, called at each deadline."""
    renewed = [due(election) - election.interval_s]
    while due(election) <= until:
        now = due(election)
        assert Addresses.RENEW in election.timer_expired(now)
        renewed.append(now)
    return renewed


SETTINGS = st.tuples(st.integers(1, 4), st.integers(0, 255), st.integers(2, 5))


@given(SETTINGS, st.sampled_from([0, 240]))
def test_no_lease_ends_before_it_is_renewed(settings: tuple[int, int, int], demotion: int) -> None:
    election = backup(*settings)
    election.demotion_changed(0.0, demotion)
    now = became_at = due(election)
    assert RENEW not in election.timer_expired(now)
    while now < became_at + 3 * election.interval_s:
        assert due(election) - now <= KERNEL_EARLIEST * election.lifetime_s
        now = due(election)
        assert RENEW in election.timer_expired(now)


@given(st.integers(1, 4), st.integers(0, 255), st.integers(0, 255), st.integers(3, 5))
def test_no_lease_outlasts_the_patience_of_any_backup_whatever_its_advskew(
    advbase: int, ours: int, theirs: int, dead_ratio: int
) -> None:
    """Killed at the worst moment: just after the last renewal before its next advertisement."""
    election = master(advbase, ours, dead_ratio)
    advertised_at = renewed_at = election.master_down_s
    while RENEW in (effects := election.timer_expired(due(election))) and len(effects) == 1:
        renewed_at = election.lease_until - election.lifetime_s

    patience_s = backup(advbase, theirs, dead_ratio).master_down_s
    assert renewed_at + election.lifetime_s + KERNEL_LATEST_EXTRA_S <= advertised_at + patience_s


def test_an_ordinary_master_renews_only_when_it_advertises() -> None:
    election = master(advskew=100)

    assert election.timer_expired(due(election))[0] is RENEW
    assert due(election) == pytest.approx(3 + 3 * 100 / 256 + 2)


def test_a_master_with_a_long_interval_renews_between_two_advertisements() -> None:
    election = master(dead_ratio=2, advskew=64)

    assert due(election) == pytest.approx(2.25 + 0.5)
    assert list(election.timer_expired(2.75)) == [RENEW]
    assert list(election.timer_expired(3.5)) == [RENEW, Advertise(1, 64)]


def test_an_undone_demotion_does_not_shorten_the_lease_before_the_next_advertisement() -> None:
    election = backup(advbase=0, advskew=20, dead_ratio=2)
    for _ in range(3):
        election.advertisement_sent(ok=False)
    assert election.timer_expired(due(election))
    for _ in range(3):
        election.advertisement_sent(ok=True)

    while RENEW in (effects := election.timer_expired(due(election))) and len(effects) == 1:
        pass
    assert list(effects) == [RENEW, Advertise(0, 20)]


@pytest.mark.parametrize(("advskew", "source"), [(0, LOWER), (200, LOWER)])
def test_a_packet_that_waited_while_we_hung_finds_a_backup(advskew: int, source: object) -> None:
    election = master()

    assert hear(election, 9.0, 1, advskew)[0] is RELEASE
    assert election.reason is Reason.LEASE_MISSED


def test_a_demotion_after_a_hang_renews_nothing() -> None:
    election = master()

    assert election.demotion_changed(9.0, 240)[0] is RELEASE
    assert election.state is State.BACKUP


def test_the_engine_may_find_the_lease_missed_by_itself() -> None:
    election = master()

    assert became(election.lease_missed(3.5)).reason is Reason.LEASE_MISSED
    assert list(election.lease_missed(3.6)) == []


# Failing sends.


def failed(election: Election, times: int) -> Election:
    for _ in range(times):
        election.advertisement_sent(ok=False)
    return election


def test_three_failed_advertisements_in_a_row_demote() -> None:
    election = failed(master(), 2)
    assert election.advskew == 0

    assert failed(election, 1).send_failing
    assert election.advskew == 240


def test_a_good_one_in_between_starts_the_count_anew() -> None:
    election = failed(master(), 2)
    election.advertisement_sent(ok=True)

    assert not failed(election, 2).send_failing


def test_three_good_ones_in_a_row_undo_it() -> None:
    election = failed(master(), 3)
    election.advertisement_sent(ok=True)
    election.advertisement_sent(ok=True)
    failed(election, 1)
    election.advertisement_sent(ok=True)
    election.advertisement_sent(ok=True)
    assert election.send_failing

    election.advertisement_sent(ok=True)
    assert not election.send_failing
    assert election.advskew == 0


def test_a_master_whose_sends_fail_yields_to_whoever_can_send() -> None:
    election = failed(master(), 3)

    assert became(hear(election, 3.5, 1, 100)).reason is Reason.BETTER_MASTER


def test_a_link_that_comes_back_is_tried_without_the_old_failures() -> None:
    election = failed(master(), 3)
    election.link_changed(3.5, up=False)
    election.link_changed(4.0, up=True)

    assert election.advskew == 0


# The deadline.


def test_a_timer_that_comes_early_is_harmless() -> None:
    for election in (backup(), master()):
        before = (election.state, election.deadline)
        assert list(election.timer_expired(due(election) - 0.001)) == []
        assert (election.state, election.deadline) == before


def test_a_master_that_leaves_owes_nothing_more() -> None:
    election = master()

    assert BOW_OUT in election.stop(3.5)
    assert election.deadline is None
    assert ANNOUNCE not in election.timer_expired(100.0)


@given(st.integers(0, 255), st.integers(0, 255))
def test_the_interval_is_the_one_that_is_advertised(advbase: int, advskew: int) -> None:
    assert backup(advbase, advskew).interval_s == interval_ticks(advbase, advskew) / 256


def test_a_link_that_was_away_ends_the_demotion_by_failed_sends() -> None:
    election = failed(master(), 3)
    election.link_changed(20.0, up=False)
    election.link_changed(21.0, up=True)
    assert not election.send_failing


def test_new_settings_end_the_demotion_by_failed_sends() -> None:
    election = failed(master(), 3)
    election.configure(20.0, Settings(advskew=7))
    assert (election.send_failing, election.advskew) == (False, 7)
