"""A member, event by event: the table of the design's section 4, and the lease of its section 5."""

from itertools import pairwise

import pytest

from carpsidecar.member.actions import (
    AddressesFailed,
    AddressesLost,
    Degraded,
    DemotionChanged,
    RoleChanged,
    Stalled,
    StatusChanged,
)
from carpsidecar.member.takeover import CLAIM_S
from carpsidecar.protocol.effects import Advertise, Reason, Settings
from tests.unit.member.driving import HIGHER, LOWER, Driven, driven_master, words

TAKEOVER = ["advertise 1/0", "add", "announce"]
BOW_OUT = ["advertise 255/255", "remove"]
NO_LINK = "the link of eth0 is down"


@pytest.fixture
def backup() -> Driven:
    return Driven()


@pytest.fixture
def master() -> Driven:
    return driven_master()


# The table.


def test_any_stop_or_link_lost_is_init_and_a_master_bows_out_and_releases(backup: Driven) -> None:
    assert words(backup.feed(backup.member.stop)) == ["init: stopped"]
    for event, reason in (("stop", "init: stopped"), ("link_changed", f"fault: {NO_LINK}")):
        master = driven_master()
        details = () if event == "stop" else (NO_LINK,)
        assert words(master.feed(getattr(master.member, event), *details)) == [*BOW_OUT, reason]


def test_init_start_or_link_back_is_backup(backup: Driven) -> None:
    assert words(backup.feed(backup.member.link_changed, NO_LINK)) == [f"fault: {NO_LINK}"]
    assert words(backup.feed(backup.member.link_changed, "")) == ["backup: the link is back"]
    assert (backup.member.role, backup.member.deadline) == ("backup", 2.0)


def test_backup_master_down_fires_is_master(backup: Driven) -> None:
    assert backup.timer() == []
    assert backup.now == 2.0
    assert words(backup.timer()) == ["advertise 1/0"], "the claim"
    assert backup.now == 3.0
    assert words(backup.timer()) == [*TAKEOVER, "master: no advertisement from the master"]
    assert backup.now == 3.0 + CLAIM_S


def test_backup_preempt_and_a_longer_interval_is_master() -> None:
    backup = Driven(Settings(preempt=True))
    assert words(backup.hear(1, 1)) == [*TAKEOVER, "master: preempting a slower master"]


@pytest.mark.parametrize(
    ("advbase", "advskew", "reason"),
    [(255, 255, "the master bowed out"), (4, 0, "the master advertises too slowly")],
)
def test_backup_a_bow_out_or_too_slow_is_master(backup: Driven, advbase: int, advskew: int, reason: str) -> None:
    assert words(backup.hear(advbase, advskew, at=0.5)) == []
    assert words(backup.take_over()) == [*TAKEOVER, f"master: {reason}"]
    assert backup.now == 0.5 + CLAIM_S


def test_backup_any_other_advertisement_is_backup_and_rearms(backup: Driven) -> None:
    assert words(backup.hear(1, 0, at=1.5)) == []
    backup.timer()
    backup.take_over()
    assert (backup.now, backup.member.is_master) == (4.5 + CLAIM_S, True)


@pytest.mark.parametrize("wakes_at", [2.6, 3.0, 3600.0])
def test_backup_that_stalled_is_backup_for_an_interval_at_least(backup: Driven, wakes_at: float) -> None:
    backup.now = wakes_at
    assert backup.timer() == [Stalled(wakes_at - 2.0)]
    assert words(backup.take_over()) == [*TAKEOVER, "master: no advertisement from the master"]
    assert backup.now == pytest.approx(wakes_at + 1 + CLAIM_S)


def test_a_bow_out_needs_no_check_for_a_stall(backup: Driven) -> None:
    backup.hear(255, 255, at=0.5)
    backup.now = 2.9
    assert words(backup.take_over())[-1] == "master: the master bowed out"


def test_master_timer_is_master_and_advertises_and_renews(master: Driven) -> None:
    assert words(master.timer()) == ["advertise 1/0", "renew"]
    assert master.now == 4.0


def test_master_hears_a_better_one_is_backup_and_releases_and_says_so_a_last_time(master: Driven) -> None:
    better = ["remove", "advertise 1/0", "backup: a better master advertises"]
    assert words(master.hear(0, 255, HIGHER)) == better
    assert words(driven_master().hear(1, 0, LOWER)) == [better[0], better[2]], "an equal one: in silence"


def test_master_hears_any_other_is_master_and_advertises_and_announces(master: Driven) -> None:
    assert words(master.hear(1, 0, HIGHER, at=3.4)) == ["advertise 1/0", "announce"]


def test_master_whose_lease_is_missed_is_backup_and_releases_in_silence(master: Driven) -> None:
    master.now = 3 + 2
    assert words(master.timer()) == ["remove", "backup: the lease ran out before it was renewed"]


# The lease.


def test_a_takeover_that_the_kernel_refuses_bows_out_and_nobody_hears_of_a_master(backup: Driven) -> None:
    backup.add_failure = OSError("no")
    backup.timer()
    done = backup.take_over()
    assert words(done) == ["advertise 1/0", "add", *BOW_OUT, "backup: demoted: no"]
    assert AddressesFailed(backup.add_failure) in done
    assert Degraded(True) in done
    assert backup.member.demotions.amounts == {"addresses": 240}


def test_and_the_demotion_ends_with_the_first_takeover_that_succeeds(backup: Driven) -> None:
    backup.add_failure = OSError("no")
    backup.timer()
    backup.take_over()
    backup.add_failure = None
    backup.hear(255, 255)
    backup.become_master()
    assert DemotionChanged("addresses", 0, "") in backup.done
    assert Degraded(False) in backup.done
    assert words(backup.done)[-1] == "advertise 1/0", "and says at once that it is as good as before"


def test_stopped_before_the_kernel_answers_a_takeover_it_is_no_master(backup: Driven) -> None:
    backup.timer()
    backup.timer()
    backup.member.timer_expired(3.0 + CLAIM_S)
    backup.now = 3.0 + CLAIM_S
    assert words(backup.drain(each_takes_s=1.0)) == [
        "advertise 1/0",
        "add",
        "remove",
        "backup: the lease ran out before it was renewed",
    ]


def test_stopped_after_it_was_woken_it_does_not_advertise(master: Driven) -> None:
    master.member.timer_expired(4.0)
    master.now = 3600.0
    assert words(master.drain()) == ["remove", "backup: the lease ran out before it was renewed"]


def test_stopped_after_it_advertised_it_does_not_renew(master: Driven) -> None:
    master.member.timer_expired(4.0)
    master.now = 4.0
    assert words(master.drain(each_takes_s=1.5))[:2] == ["advertise 1/0", "remove"]


def test_without_an_answer_from_the_kernel_it_advertises_until_its_lease_ends_and_no_longer(master: Driven) -> None:
    assert words(master.timer()) == ["advertise 1/0", "renew"]
    assert words(master.timer())[0] == "remove"
    assert master.now == 3 + 2


def test_a_renewal_prolongs_the_lease_from_when_it_was_requested(master: Driven) -> None:
    master.timer()
    assert master.renewals[0].until == 4 + 2
    master.now = 4.9
    assert words(master.answer()) == []
    assert master.member.lease.left_s(5.0) == 1.0


def test_an_answer_after_the_lease_ended_comes_too_late(master: Driven) -> None:
    master.timer()
    master.now = 5.0
    assert words(master.answer())[0] == "remove"


def test_a_renewal_that_fails_hands_over(master: Driven) -> None:
    master.timer()
    assert words(master.answer(error=OSError("no"))) == [*BOW_OUT, "backup: demoted: no"]


def test_an_answer_that_comes_after_the_release_changes_nothing(master: Driven) -> None:
    for error in (None, OSError("no")):
        master.become_master()
        master.timer()
        request = master.renewals.pop()
        master.feed(master.member.step_down)
        assert master.answer(request, error) == []
        assert (master.member.role, master.member.lease.ends_at) == ("backup", None)


def test_nor_does_one_that_comes_after_the_next_takeover(master: Driven) -> None:
    master.timer()
    late = master.renewals.pop()
    master.feed(master.member.step_down)
    master.become_master()
    ends_at = master.member.lease.ends_at
    for error in (None, OSError("no")):
        assert master.answer(late, error) == []
    assert (master.member.is_master, master.member.lease.ends_at) == (True, ends_at)


def test_nor_one_that_was_overtaken_by_a_later_answer(master: Driven) -> None:
    master.timer()
    late = master.renewals.pop()
    master.feed(master.member.addresses_removed, [LOWER], at=4.5)
    assert master.member.lease.ends_at == 4.5 + 2
    assert master.answer(late, OSError("no")) == []
    assert master.member.lease.ends_at == 4.5 + 2


def test_a_renewal_that_is_due_while_one_is_under_way_follows_it(master: Driven) -> None:
    master.timer()
    assert words(master.feed(master.member.reconfigure, Settings(), at=4.5)) == ["advertise 1/0"]
    assert words(master.answer()) == ["renew"]
    assert master.renewals[0].until == 4.5 + 2


def test_an_address_that_somebody_removed_is_put_back_and_announced(master: Driven) -> None:
    done = master.feed(master.member.addresses_removed, [HIGHER])
    assert (done[0], words(done)) == (AddressesLost(frozenset([HIGHER])), ["add", "announce"])


def test_but_not_by_one_whose_lease_may_have_ended(master: Driven) -> None:
    assert words(master.feed(master.member.addresses_removed, [HIGHER], at=5.0))[0] == "remove"


# What demotes.


def failed(master: Driven, times: int) -> Driven:
    return sent(master, times, fail=True)


def sent(master: Driven, times: int, fail: bool = False) -> Driven:
    """Let it advertise so many times."""
    master.sends_fail = fail
    while times:
        times -= any(isinstance(action, Advertise) for action in master.timer())
        while master.renewals:
            master.answer()
    return master


def test_three_failed_advertisements_in_a_row_demote(master: Driven) -> None:
    assert failed(master, 2).member.election.advskew == 0
    failed(master, 1)
    assert (master.member.election.advskew, master.member.degraded) == (240, True)


def test_a_good_one_in_between_starts_the_count_anew(master: Driven) -> None:
    sent(failed(master, 2), 1)
    assert not failed(master, 2).member.degraded


def test_three_good_ones_in_a_row_undo_it(master: Driven) -> None:
    sent(failed(master, 3), 2)
    failed(master, 1)
    assert sent(master, 2).member.degraded
    assert not sent(master, 1).member.degraded
    assert master.member.election.advskew == 0


def test_a_master_whose_sends_fail_yields_to_whoever_can_send(master: Driven) -> None:
    assert words(failed(master, 3).hear(1, 100))[-1] == "backup: a better master advertises"


def test_a_link_that_comes_back_or_new_settings_are_tried_without_the_old_failures() -> None:
    for event, details in (("link_changed", (NO_LINK,)), ("reconfigure", (Settings(advskew=7),))):
        master = failed(driven_master(), 3)
        master.feed(getattr(master.member, event), *details)
        master.feed(master.member.link_changed, "")
        assert not master.member.degraded


def test_a_demotion_has_a_cause_an_amount_and_words_and_ends(master: Driven) -> None:
    done = master.feed(master.member.demote, "check:web", 10, False, "http 500")
    assert done[0] == DemotionChanged("check:web", 10, "http 500")
    assert words(done) == ["advertise 1/10"]
    assert master.feed(master.member.demote, "check:web", 10, False, "http 500") == []
    done = master.feed(master.member.demote, "check:web", 0)
    assert words(done) == ["advertise 1/0"]
    assert master.member.demotions.texts == {}


def test_with_bow_out_it_hands_over_at_once_and_says_why(master: Driven) -> None:
    done = master.feed(master.member.demote, "operator", 240, True, "disk swap")
    assert words(done) == [*BOW_OUT, "backup: demoted: disk swap"]


def test_a_person_makes_it_step_down_or_promotes_it(master: Driven) -> None:
    assert words(master.feed(master.member.step_down, "tea")) == [*BOW_OUT, "backup: asked to step down: tea"]
    assert words(master.feed(master.member.promote, "back")) == [*TAKEOVER, "master: promoted: back"]


def test_groups_that_move_together_follow_the_one_that_is_degraded_and_no_longer(master: Driven) -> None:
    assert words(master.feed(master.member.siblings_degraded, {"inside"})) == [*BOW_OUT, "backup: demoted"]
    assert master.member.demotions.amounts == {"sync:inside": 240}
    assert not master.member.degraded, "or none of the two would ever be well again"
    master.feed(master.member.siblings_degraded, {"dmz"})
    assert master.member.demotions.amounts == {"sync:dmz": 240}
    master.feed(master.member.siblings_degraded, set())
    assert master.member.demotions.amounts == {}


# What is reported.


def test_a_change_of_role_is_reported_last_with_its_reason_and_the_peer(master: Driven) -> None:
    change, status = master.hear(0, 1, HIGHER)[-2:]
    reason = Reason.BETTER_MASTER
    assert change == RoleChanged("backup", reason, str(reason), HIGHER, was_master=True)
    assert isinstance(status, StatusChanged)
    assert master.member.master == HIGHER


def test_what_keeps_it_out_at_the_start_is_no_fault(backup: Driven) -> None:
    never = Driven()
    never.member = type(never.member)(Settings(), HIGHER)
    never.feed(never.member.start, NO_LINK)
    assert (never.member.role, never.member.reason, never.member.degraded) == ("init", NO_LINK, True)
    backup.feed(backup.member.link_changed, NO_LINK)
    assert backup.member.role == "fault"


def test_backup_that_could_not_read_all_gives_the_master_three_intervals_and_no_more(backup: Driven) -> None:
    for until in (6.0, 16.0):
        while not backup.member.is_master:
            assert backup.member.deadline is not None
            backup.feed(backup.member.timer_expired, True, at=max(backup.now, backup.member.deadline))
        assert backup.now == pytest.approx(until + CLAIM_S)
        backup.feed(backup.member.step_down)
        backup.hear(1, 0, at=10.0)


def test_master_that_is_flooded_advertises_more_often_while_it_lasts(master: Driven) -> None:
    begun = master.now
    master.feed(master.member.election.flooded)
    times = []
    while master.now < begun + 8:
        if "advertise 1/0" in words(master.timer()):
            times.append(master.now - begun)
        while master.renewals:
            master.answer()
    assert sum(at <= 3.0 for at in times) == 12
    assert {later - earlier for earlier, later in pairwise(times) if earlier > 3.25} == {1.0}
