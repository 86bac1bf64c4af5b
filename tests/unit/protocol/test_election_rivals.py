"""Ties, both families, demotion, and whose word a backup takes: what the table leaves to the text below it."""

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carpsidecar.protocol.effects import Advertise, Become, Reason, Settings, State
from carpsidecar.protocol.election import Election
from tests.unit.protocol.peers import (
    ANNOUNCE,
    BOW_OUT,
    BYE,
    HIGHER,
    LOWER,
    OURS,
    RELEASE,
    RENEW,
    backup,
    became,
    due,
    hear,
    master,
    takes_over,
)

# Both families in one group.


@pytest.mark.parametrize("other_family", [IPv6Address("fe80::1"), IPv6Address("ffff::1")])
def test_an_address_of_the_other_family_breaks_no_tie(other_family: IPv6Address) -> None:
    assert list(hear(master(), 4.0, 1, 0, other_family)) == [Advertise(1, 0), RENEW, ANNOUNCE]


def test_among_ipv6_sources_the_lower_one_wins() -> None:
    election = master(source=IPv6Address("fe80::20"))

    assert hear(election, 3.5, 1, 0, IPv6Address("fe80::21"))[0] == Advertise(1, 0)
    assert became(hear(election, 4.0, 1, 0, IPv6Address("fe80::1f"))).reason is Reason.BETTER_MASTER


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_of_two_equal_masters_exactly_one_yields(one: int, other: int) -> None:
    a, b = type(OURS)(one), type(OURS)(other)
    if a == b:
        return
    first, second = master(source=a), master(source=b)

    hear(first, 3.5, 1, 0, b)
    hear(second, 3.5, 1, 0, a)

    assert {first.state, second.state} == {State.MASTER, State.BACKUP}


def test_a_dual_family_backup_follows_a_master_in_each_family_apart() -> None:
    election = backup()
    hear(election, 1.0, 1, 0, LOWER)
    hear(election, 1.0, 1, 0, IPv6Address("fe80::11"))

    hear(election, 1.5, *BYE, IPv6Address("fe80::99"))
    assert due(election) == 4.0
    hear(election, 1.5, *BYE, IPv6Address("fe80::11"))
    assert due(election) == 1.5


def test_a_losers_last_words_in_the_other_family_do_not_make_a_backup_take_over() -> None:
    election = master(advskew=50, preempt=True)
    hear(election, 4.0, 1, 0, LOWER)

    assert list(hear(election, 4.001, 1, 100, IPv6Address("fe80::30"))) == []
    assert list(hear(election, 4.001, *BYE, IPv6Address("fe80::30"))) == []
    assert due(election) == pytest.approx(7.0 + 50 / 256)


# Demotion.


def test_demotion_adds_to_the_advskew_and_says_so_at_once() -> None:
    election = master(advskew=10)

    assert list(election.demotion_changed(3.5, 20)) == [Advertise(1, 30), RENEW]
    assert list(election.demotion_changed(3.6, 0)) == [Advertise(1, 10)]


def test_demotion_ends_at_240() -> None:
    election = master(advskew=10)

    assert list(election.demotion_changed(3.5, 1000)) == [Advertise(1, 240), RENEW]
    assert list(election.demotion_changed(3.6, 2000)) == []


def test_a_demoted_backup_says_nothing() -> None:
    assert list(backup().demotion_changed(1.0, 240)) == []


def test_a_demoted_master_yields_to_one_that_it_was_better_than() -> None:
    election = master()
    election.demotion_changed(3.5, 240)

    assert became(hear(election, 4.0, 1, 100)).state is State.BACKUP


def test_a_demoted_backup_does_not_preempt_what_it_would_have() -> None:
    election = backup(preempt=True)
    election.demotion_changed(0.5, 240)

    assert list(hear(election, 1.0, 1, 100)) == []


def test_a_higher_demotion_counter_of_openbsd_loses_to_a_backup() -> None:
    election = backup(advskew=100)
    hear(election, 1.0, 1, 0, HIGHER, demotion=1)

    assert due(election) == pytest.approx(1.010)
    assert takes_over(election.timer_expired(1.011), Advertise(1, 100), Reason.MASTER_DEMOTED)


def test_a_master_does_not_yield_to_a_faster_one_with_a_demotion_counter() -> None:
    election = master(advskew=100)

    assert list(hear(election, 3.6, 1, 0, LOWER, demotion=1)) == [Advertise(1, 100), RENEW, ANNOUNCE]


# Stepping back.


def test_asked_to_step_down_a_master_bows_out_and_releases() -> None:
    effects = master().step_down(3.5, Reason.STEP_DOWN)

    assert list(effects) == [BOW_OUT, RELEASE, Become(State.BACKUP, Reason.STEP_DOWN)]


def test_asked_to_step_down_it_does_not_preempt_whoever_took_over() -> None:
    election = master(preempt=True)
    election.step_down(3.5, Reason.STEP_DOWN)

    assert list(hear(election, 3.6, 1, 100)) == []
    assert due(election) == 6.6


def test_asked_to_step_down_it_takes_over_again_when_that_one_goes_and_then_preempts_as_ever() -> None:
    election = master(preempt=True)
    election.step_down(3.5, Reason.STEP_DOWN)
    hear(election, 3.6, 1, 100)
    hear(election, 3.7, *BYE)
    assert takes_over(election.timer_expired(3.7), Advertise(1, 0), Reason.MASTER_BOWED_OUT)

    election.link_changed(4.0, up=False)
    election.link_changed(5.0, up=True)
    assert became(hear(election, 5.1, 1, 100)).reason is Reason.PREEMPTED


def test_a_backup_can_be_asked_too() -> None:
    election = backup(preempt=True)

    assert list(election.step_down(0.5, Reason.STEP_DOWN)) == []
    assert list(hear(election, 1.0, 1, 100)) == []


def test_a_master_that_can_serve_no_more_steps_back_and_may_preempt_when_it_is_well() -> None:
    election = master(preempt=True)
    election.demotion_changed(3.5, 240)
    assert became(election.step_down(3.5, Reason.DEMOTED)).reason is Reason.DEMOTED
    assert list(hear(election, 3.6, 1, 100)) == []

    election.demotion_changed(3.7, 0)
    assert became(hear(election, 4.6, 1, 100)).reason is Reason.PREEMPTED


# Whose word a backup takes.


def test_a_backup_that_is_well_again_waits_no_longer_than_a_healthy_one() -> None:
    election = backup()
    election.demotion_changed(0.5, 240)
    hear(election, 1.0, 1, 0)
    assert due(election) == pytest.approx(4.0 + 240 / 256)

    election.demotion_changed(1.5, 0)
    assert due(election) == 4.5


def test_a_losers_last_words_do_not_make_a_backup_take_over() -> None:
    election = backup(advskew=50, preempt=True)
    hear(election, 1.0, 1, 0, LOWER)

    assert list(hear(election, 1.1, 1, 200, HIGHER)) == []
    assert due(election) == pytest.approx(4.0 + 50 / 256)


def test_a_bow_out_of_somebody_else_than_the_master_is_not_heeded() -> None:
    election = backup()
    hear(election, 1.0, 1, 0, LOWER)

    hear(election, 1.1, *BYE, HIGHER)

    assert due(election) == 4.0


def test_a_backup_that_follows_nobody_yet_heeds_anybody() -> None:
    election = backup()
    hear(election, 1.0, *BYE, HIGHER)

    assert due(election) == 1.0


def test_after_a_yield_a_backup_follows_the_one_that_it_yielded_to() -> None:
    election = master(advskew=100)
    hear(election, 4.0, 1, 0, LOWER)

    hear(election, 4.1, *BYE, HIGHER)
    assert due(election) == pytest.approx(7.0 + 100 / 256)
    hear(election, 4.1, *BYE, LOWER)
    assert due(election) == pytest.approx(4.11)


# Other settings while running.


def test_new_settings_keep_the_state_and_are_advertised_at_once() -> None:
    election = master()

    assert list(election.configure(3.5, Settings(advbase=2, advskew=7))) == [Advertise(2, 7), RENEW]
    assert due(election) == pytest.approx(3.5 + 2 + 7 / 256)


def test_new_settings_of_a_backup_count_from_the_next_advertisement_on() -> None:
    election = backup()

    assert list(election.configure(0.5, Settings(advbase=2))) == []
    hear(election, 1.0, 2, 0)
    assert due(election) == 7.0


def test_a_group_that_never_started_hears_nothing() -> None:
    election = Election(Settings(), OURS)

    assert list(hear(election, 1.0, *BYE)) == []
    assert list(election.step_down(1.0, Reason.STEP_DOWN)) == []
    assert list(election.lease_missed(1.0)) == []
    assert became(election.start(2.0, link_up=True)).state is State.BACKUP
    assert RELEASE not in election.stop(3.0)


def test_an_openbsd_masters_demotion_counts_only_where_it_is_more_than_ours() -> None:
    """Else a backup that can't hold the addresses itself takes over from a demoted one again and again."""
    for ours, theirs, reason in ((0, 1, Reason.MASTER_DEMOTED), (240, 1, None), (1, 1, None)):
        election = backup()
        election.demotion_changed(1.0, ours)
        election.advertisement_received(1.5, 1, 0, theirs, LOWER)
        effects = election.timer_expired(1.6)
        became = [effect.reason for effect in effects if isinstance(effect, Become)]
        assert became == ([] if reason is None else [reason])


def test_a_demoted_master_yields_to_a_better_one_that_is_demoted_no_more_than_itself() -> None:
    for ours, theirs, state in ((0, 1, State.MASTER), (5, 5, State.BACKUP), (240, 1, State.BACKUP)):
        election = master()
        election.demotion_changed(3.5, ours)
        election.advertisement_received(4.0, 0, 1, theirs, LOWER)
        assert election.state is state
