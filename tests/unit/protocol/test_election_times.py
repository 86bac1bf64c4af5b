"""Intervals, leases and failing sends: when the election wants to be called, and what it does then."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carpsidecar.protocol.effects import Advertise, Reason, Settings, State
from carpsidecar.protocol.election import START_S, Election
from carpsidecar.protocol.timetable import REFRESH_GAP_MIN_S
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
    assert list(election.timer_expired(due(election))) == [Advertise(0, 0)]
    assert due(election) == became_at + 2 / 256


def test_below_a_second_the_lease_is_the_backups_patience() -> None:
    election = master(advbase=0, advskew=64)

    assert election.lifetime_s == 1
    assert election.lease_until == 0.75 + 0.75
    assert became(election.timer_expired(1.5)).reason is Reason.LEASE_MISSED


# A start where a master would answer.


def test_whoever_starts_soon_waits_for_two_solicitations_and_the_preferred_one_first() -> None:
    first, second = (Election(Settings(advskew=skew, starts_soon=True), LOWER) for skew in (0, 4))
    for election in (first, second):
        election.start(0.0, link_up=True)

    assert (due(first), due(second)) == (START_S, START_S + 4 / 256)
    assert first.waits_for_silent_master, "the address is asked for before it is taken"
    list(second.advertisement_received(0.2, 1, 0, 0, LOWER))
    assert due(second) == 0.2 + 3 + 4 / 256, "once somebody was heard, he has all the patience"


def test_whoever_may_take_part_again_starts_soon_as_well() -> None:
    election = Election(Settings(starts_soon=True), LOWER)
    election.start(0.0, link_up=False)
    election.link_changed(5.0, up=True)

    assert due(election) == 5.0 + START_S


# Leases.


SETTINGS = st.tuples(st.integers(1, 4), st.integers(0, 255), st.integers(2, 5))


@given(SETTINGS, st.sampled_from([0, 240]))
def test_no_lease_ends_before_it_is_renewed(settings: tuple[int, int, int], demotion: int) -> None:
    election = backup(*settings)
    election.demotion_changed(0.0, demotion)
    renewed_at = became_at = due(election)
    assert RENEW not in election.timer_expired(became_at)
    while renewed_at < became_at + 3 * election.interval_s:
        assert due(election) - renewed_at <= KERNEL_EARLIEST * election.lifetime_s
        now = due(election)
        if RENEW in election.timer_expired(now):
            renewed_at = now


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

    assert list(election.timer_expired(due(election))) == [Advertise(1, 100), RENEW]
    assert due(election) == pytest.approx(3 + 3 * 100 / 256 + 2)


def test_a_master_with_a_long_interval_renews_between_two_advertisements() -> None:
    election = master(dead_ratio=2, advskew=64)

    assert due(election) == pytest.approx(2.25 + 0.5)
    assert list(election.timer_expired(2.75)) == [RENEW]
    assert list(election.timer_expired(3.5)) == [Advertise(1, 64), RENEW]


def test_an_undone_demotion_does_not_shorten_the_lease_before_the_next_advertisement() -> None:
    election = backup(advbase=0, advskew=20, dead_ratio=2)
    election.demotion = 240
    assert election.timer_expired(due(election))
    election.demotion = 0

    while RENEW in (effects := election.timer_expired(due(election))) and len(effects) == 1:
        pass
    assert list(effects) == [Advertise(0, 20), RENEW]


def test_a_fast_master_does_not_renew_with_each_advertisement() -> None:
    election = master(advbase=0, advskew=4)
    began = due(election)
    renewed = [now for now in deadlines(election, began + 3) if RENEW in election.timer_expired(now)]

    assert 10 <= len(renewed) <= 12


def deadlines(election: Election, until: float) -> Iterator[float]:
    while due(election) <= until:
        yield due(election)


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


# Refresh advertisements.


def successor(advbase: int = 1, advskew: int = 0, dead_ratio: int = 3) -> Election:
    """A master at 10 s that heard another one until then, and now does not."""
    election = backup(advbase, advskew, dead_ratio)
    hear(election, 10 - election.master_down_s, 1, 0)
    assert election.timer_expired(10.0)
    return election


def said_between(election: Election, start: float, end: float) -> list[float]:
    sent = []
    while due(election) < end:
        now = due(election)
        if Advertise(1, election.advskew) in election.timer_expired(now) and now >= start:
            sent.append(now)
    return sent


def test_the_successor_of_a_silent_master_refreshes_for_it() -> None:
    assert due(successor()) == 10 + REFRESH_GAP_MIN_S
    assert len(said_between(successor(), 10, 11)) >= 60


def test_it_does_so_ever_more_seldom_and_then_no_more() -> None:
    election = successor()

    assert len(said_between(election, 10, 70)) < 1400
    assert len(said_between(election, 100, 110)) == pytest.approx(50, abs=2)
    assert len(said_between(election, 410, 430)) <= 21


def test_a_refresh_is_no_reason_to_renew_and_does_not_prolong_the_patience() -> None:
    looking, ordinary = successor(), master()
    ordinary_renewals = [now for now in deadlines(ordinary, 23) if RENEW in ordinary.timer_expired(now)]
    renewals = [now for now in deadlines(looking, 30) if RENEW in looking.timer_expired(now)]

    assert len(renewals) == len(ordinary_renewals)


def test_a_refresh_after_a_hang_finds_the_lease_missed() -> None:
    election = successor(dead_ratio=5, advbase=2)

    assert became(election.timer_expired(10 + 11)).reason is Reason.LEASE_MISSED


def test_only_the_successor_of_a_master_that_was_heard_refreshes() -> None:
    alone = backup()
    alone.timer_expired(due(alone))
    bowed_out = backup()
    hear(bowed_out, 1.0, 1, 0)
    hear(bowed_out, 2.0, 255, 255)
    bowed_out.timer_expired(due(bowed_out))

    for election in (alone, bowed_out):
        assert election.state is State.MASTER
        assert due(election) == pytest.approx(election.lease_until - election.lifetime_s + 1, abs=0.01)


def test_a_rival_that_is_answered_does_not_end_the_refresh() -> None:
    election = successor()
    hear(election, 10.2, 1, 100)

    assert due(election) <= 10.2 + REFRESH_GAP_MIN_S


def test_on_an_interface_with_many_groups_each_refreshes_less() -> None:
    election = backup()
    election.refresh_gap_min_s = 255 * REFRESH_GAP_MIN_S
    hear(election, 7.0, 1, 0)
    election.timer_expired(10.0)

    assert due(election) == 11.0


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
