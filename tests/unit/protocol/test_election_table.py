"""The table of the design, section 4, line by line."""

import pytest

from carpsidecar.protocol.effects import Advertise, Become, Reason, Settings, State
from carpsidecar.protocol.election import Election
from carpsidecar.protocol.packet import IPAddress
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
    due,
    hear,
    master,
    takes_over,
)

# any: stop, or link lost -> INIT.


def test_a_master_that_stops_bows_out_first_and_releases_next() -> None:
    election = master()

    effects = election.stop(3.5)

    assert list(effects) == [BOW_OUT, RELEASE, Become(State.INIT, Reason.STOPPED)]
    assert election.deadline is None


def test_a_master_whose_link_is_lost_does_the_same() -> None:
    assert list(master().link_changed(3.5, up=False)) == [BOW_OUT, RELEASE, Become(State.INIT, Reason.LINK_LOST)]


def test_a_backup_that_stops_says_nothing_to_the_others() -> None:
    assert list(backup().stop(1.0)) == [Become(State.INIT, Reason.STOPPED)]


def test_a_backup_whose_link_is_lost_says_nothing_to_the_others() -> None:
    assert list(backup().link_changed(1.0, up=False)) == [Become(State.INIT, Reason.LINK_LOST)]


def test_in_init_nothing_is_heard_and_nothing_is_due() -> None:
    election = backup()
    election.link_changed(1.0, up=False)

    assert list(hear(election, 1.1, *BYE)) == []
    assert election.deadline is None
    assert list(election.timer_expired(100.0)) == []
    assert list(election.stop(101.0)) == []


# INIT: start, or link back -> BACKUP.


def test_a_group_that_starts_is_backup_and_waits_for_a_master() -> None:
    election = Election(Settings(advbase=1, advskew=128, dead_ratio=3), OURS)

    assert list(election.start(10.0, link_up=True)) == [Become(State.BACKUP, Reason.STARTED)]
    assert due(election) == 13.5


def test_a_group_that_starts_without_a_link_waits_for_that_first() -> None:
    election = Election(Settings(), OURS)

    assert list(election.start(10.0, link_up=False)) == []
    assert election.state is State.INIT
    assert list(election.link_changed(20.0, up=True)) == [Become(State.BACKUP, Reason.LINK_BACK)]
    assert due(election) == 23.0


def test_a_link_that_comes_back_after_the_stop_starts_nothing() -> None:
    election = backup()
    election.link_changed(1.0, up=False)
    election.stop(2.0)

    assert list(election.link_changed(3.0, up=True)) == []
    assert election.state is State.INIT


def test_a_link_that_is_said_to_be_up_again_changes_nothing() -> None:
    assert list(backup().link_changed(1.0, up=True)) == []
    assert list(master().link_changed(3.5, up=True)) == []


# BACKUP: master-down fires -> MASTER.


def test_a_backup_that_hears_nobody_takes_over_address_first_and_announcement_next() -> None:
    election = backup(advskew=128)

    assert list(election.timer_expired(3.49)) == []
    assert takes_over(election.timer_expired(3.5), Advertise(1, 128), Reason.MASTER_SILENT)
    assert due(election) == 5.0


# BACKUP: preempt on, and the sender's interval longer than ours -> MASTER.


def test_a_preempting_backup_takes_over_from_a_slower_master() -> None:
    election = backup(preempt=True)

    assert takes_over(hear(election, 1.0, 1, 1), Advertise(1, 0), Reason.PREEMPTED, HIGHER)


@pytest.mark.parametrize("source", [LOWER, HIGHER])
def test_a_preempting_backup_leaves_an_equal_master_alone(source: IPAddress) -> None:
    assert list(hear(backup(preempt=True), 1.0, 1, 0, source)) == []


def test_a_backup_without_preempt_leaves_a_slower_master_alone() -> None:
    election = backup()

    assert list(hear(election, 1.0, 1, 200)) == []
    assert due(election) == 4.0


# BACKUP: the sender's interval longer than our master-down interval -> MASTER, after advskew x 100 us.


def test_a_backup_takes_over_from_a_master_that_bows_out_after_a_wait_by_its_advskew() -> None:
    election = backup(advskew=100)

    assert list(hear(election, 1.0, *BYE)) == []
    assert due(election) == pytest.approx(1.010)
    assert takes_over(election.timer_expired(1.0101), Advertise(1, 100), Reason.MASTER_BOWED_OUT)


def test_of_many_backups_the_best_goes_first() -> None:
    best, next_best = backup(advskew=0), backup(advskew=50)
    hear(best, 1.0, *BYE)
    hear(next_best, 1.0, *BYE)

    assert due(best) == 1.0
    assert takes_over(best.timer_expired(1.0), Advertise(1, 0), Reason.MASTER_BOWED_OUT)
    hear(next_best, 1.0002, 1, 0, LOWER)
    assert due(next_best) == pytest.approx(4.0002 + 50 / 256)


def test_a_demoted_backup_waits_longer() -> None:
    election = backup()
    election.demotion_changed(0.5, 240)
    hear(election, 1.0, *BYE)

    assert due(election) == pytest.approx(1.024)


def test_a_second_bow_out_does_not_put_the_takeover_off() -> None:
    election = backup(advskew=100)
    hear(election, 1.0, *BYE)
    hear(election, 1.009, *BYE)

    assert due(election) == pytest.approx(1.010)


def test_a_preempting_backup_waits_too_when_the_master_bows_out() -> None:
    assert list(hear(backup(advskew=100, preempt=True), 1.0, *BYE)) == []


def test_a_backup_takes_over_from_a_master_that_is_too_slow_for_it() -> None:
    election = backup()

    assert list(hear(election, 1.0, 3, 1)) == []
    assert takes_over(election.timer_expired(1.0), Advertise(1, 0), Reason.MASTER_TOO_SLOW)


def test_an_interval_that_equals_its_patience_is_not_too_slow() -> None:
    election = backup()
    hear(election, 1.0, 3, 0)

    assert due(election) == 4.0


# BACKUP: any other valid advertisement -> re-arm.


def test_any_other_advertisement_makes_a_backup_wait_anew() -> None:
    election = backup()
    for now in (1.0, 2.0, 3.0):
        assert list(hear(election, now, 1, 0)) == []

    assert due(election) == 6.0
    assert list(election.timer_expired(5.99)) == []


# MASTER: timer -> renew, advertise.


def test_a_master_renews_before_it_advertises() -> None:
    election = master()

    assert list(election.timer_expired(3.99)) == []
    assert list(election.timer_expired(4.0)) == [Advertise(1, 0), RENEW]
    assert due(election) == 5.0


# MASTER: sender's interval shorter; or equal and its source address lower -> BACKUP.


def test_a_master_yields_to_a_faster_one_and_advertises_a_last_time() -> None:
    election = master(advskew=100)

    effects = hear(election, 4.0, 1, 0, HIGHER)

    assert list(effects) == [RELEASE, Advertise(1, 100), Become(State.BACKUP, Reason.BETTER_MASTER, HIGHER)]
    assert due(election) == pytest.approx(7.0 + 100 / 256)


def test_a_master_yields_to_an_equal_one_with_a_lower_address() -> None:
    effects = hear(master(), 4.0, 1, 0, LOWER)

    # In silence: a BSD yields to an equal interval whoever has the lower address, and there would be no master.
    assert list(effects) == [RELEASE, Become(State.BACKUP, Reason.BETTER_MASTER, LOWER)]


# MASTER: any other valid advertisement -> advertise at once, announce again.


@pytest.mark.parametrize(
    ("advbase", "advskew", "source"), [(1, 0, HIGHER), (1, 1, LOWER), (1, 1, HIGHER), (255, 255, LOWER)]
)
def test_a_master_answers_a_rival_at_once(advbase: int, advskew: int, source: IPAddress) -> None:
    election = master()

    assert list(hear(election, 3.5, advbase, advskew, source)) == [Advertise(1, 0), RENEW, ANNOUNCE]
    assert election.state is State.MASTER
    assert due(election) == 4.5


def test_a_master_does_not_answer_faster_than_the_fastest_carp_advertises() -> None:
    election = master()

    answers = [bool(hear(election, 3.5 + i / 10_000, 1, 1)) for i in range(100)]

    assert answers.count(True) == 3


def test_a_losers_last_words_make_a_master_announce_even_when_it_has_just_advertised() -> None:
    election = master()
    hear(election, 3.5, 1, 1)
    election.timer_expired(4.5)

    assert list(hear(election, 4.501, 1, 1)) == [ANNOUNCE]


# MASTER: lease missed -> BACKUP.


def test_a_master_that_finds_its_lease_run_out_is_backup_first() -> None:
    election = master()

    assert list(election.timer_expired(5.0)) == [RELEASE, Become(State.BACKUP, Reason.LEASE_MISSED)]
    assert due(election) == 8.0
