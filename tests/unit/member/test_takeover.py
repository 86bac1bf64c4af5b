"""What a backup asks and says before it takes an address: the probe, the claim guard, and its claim."""

import pytest

from carpsidecar.member import probe
from carpsidecar.member.actions import AskForAddresses
from carpsidecar.member.claim_guard import (
    AGAIN_AFTER_S,
    CONFIRMATIONS,
    GAP_S,
    GIVES_WAY_S,
    HEEDED_MAX,
    NEVER,
    QUESTIONS,
)
from carpsidecar.member.takeover import CLAIM_S
from carpsidecar.protocol.effects import PromotionBlocker, Settings
from tests.unit.member.driving import HIGHER, LOWER, OURS, Driven, words

VIP = OURS
MASTER, STRANGER = b"\2\0\0\0\0\1", b"\2\0\0\0\0\2"
IN_USE = f"fault: {VIP} is in use by 02:00:00:00:00:02"


@pytest.fixture
def backup() -> Driven:
    return Driven(asks=True)


def answer(backup: Driven, mac: bytes) -> list[str]:
    return words(backup.feed(backup.member.address_answered, VIP, mac, at=backup.now + 0.0002))


def run(backup: Driven, until: float, answers: bytes | None = None) -> list[str]:
    """On to this time, or to where it is master; this machine answers each question."""
    seen = []
    while not backup.member.is_master and backup.member.deadline is not None and backup.member.deadline <= until:
        done = backup.timer()
        seen += [word for word in words(done) if word != "askfor"]
        if answers and any(isinstance(action, AskForAddresses) for action in done):
            seen += answer(backup, answers)
    return seen


def follow(backup: Driven, answers: bytes | None = MASTER) -> None:
    """A master advertises at 1 and 2 s, and is asked for the address."""
    backup.hear(1, 0, at=1.0)
    run(backup, 1.0, answers)
    backup.hear(1, 0, at=2.0)


# The probe.


def test_a_lost_master_is_replaced_soon_after_its_advertisement_is_overdue(backup: Driven) -> None:
    follow(backup)
    assert run(backup, 9.0)[-1] == "master: the master is silent, and nobody answers for the address"
    assert 3.1 < backup.now < 3.25


def test_a_master_that_still_answers_has_all_the_patience(backup: Driven) -> None:
    follow(backup)
    assert run(backup, 9.0, MASTER)[-1] == "master: no advertisement from the master"
    assert backup.now == pytest.approx(5 + QUESTIONS * GAP_S + CLAIM_S, abs=0.01)


def test_a_master_that_never_answered_has_all_the_patience(backup: Driven) -> None:
    follow(backup, answers=None)
    assert run(backup, 9.0)[-1] == "master: no advertisement from the master"
    assert backup.now >= 5


def test_a_better_master_that_is_late_is_not_overtaken_if_it_answers_the_claim() -> None:
    backup = Driven(Settings(advskew=20), asks=True)
    follow(backup)
    while "advertise 1/20" not in words(backup.timer()):
        pass
    backup.hear(1, 0, at=backup.now + CLAIM_S / 2)
    assert run(backup, backup.now + 0.5) == []
    assert not backup.member.is_master


def questions_until(backup: Driven, until: float) -> list[AskForAddresses]:
    asked: list[AskForAddresses] = []
    while backup.member.deadline is not None and backup.member.deadline <= until and not backup.member.is_master:
        asked += [action for action in backup.timer() if isinstance(action, AskForAddresses)]
    return asked


def test_all_questions_about_a_silent_master_but_the_last_are_shared_with_its_other_groups(backup: Driven) -> None:
    follow(backup)
    asked = questions_until(backup, 3.3)
    assert [question.shared for question in asked] == [True] * (probe.QUESTIONS - 1) + [False]
    assert backup.member.is_master


def test_an_answer_to_another_group_of_that_master_is_one_to_this_group(backup: Driven) -> None:
    follow(backup)
    while not backup.member.takeover.probe.unanswered:
        backup.timer()
    backup.feed(backup.member.master_answered, LOWER)
    assert backup.member.takeover.probe.unanswered == 1
    backup.feed(backup.member.master_answered, HIGHER)
    assert backup.member.takeover.probe.unanswered == 0
    assert run(backup, 3.22) == []


def test_an_answer_to_another_group_does_not_calibrate(backup: Driven) -> None:
    backup.hear(1, 0, at=1.0)
    questions_until(backup, 1.0)
    backup.feed(backup.member.master_answered, HIGHER)
    assert not backup.member.takeover.probe.calibrated


def test_a_bow_out_needs_no_question(backup: Driven) -> None:
    follow(backup)
    backup.hear(255, 255, at=2.5)
    assert run(backup, 9.0) == ["advertise 1/0", "advertise 1/0", "add", "announce", "master: the master bowed out"]


# The claim guard.


def test_an_address_that_a_stranger_has_is_not_taken_and_said_once(backup: Driven) -> None:
    seen = run(backup, 20.0, STRANGER)
    assert seen == [IN_USE]
    assert backup.member.role == "fault"
    assert backup.member.degraded
    assert backup.member.promotion_blocker is PromotionBlocker.IN_USE


def test_and_is_taken_when_the_stranger_has_gone(backup: Driven) -> None:
    run(backup, 10.0, STRANGER)
    gone_at = backup.now
    assert run(backup, 20.0)[-1] == "master: no advertisement from the master"
    assert backup.now - gone_at <= AGAIN_AFTER_S + 0.05
    assert not backup.member.degraded


def test_a_master_that_advertises_ends_the_fault(backup: Driven) -> None:
    run(backup, 10.0, STRANGER)
    assert words(backup.hear(1, 0, at=10.5)) == ["backup: a master advertises"]


def test_a_silent_master_that_disagrees_keeps_the_address(backup: Driven) -> None:
    follow(backup)
    for at in (3.0, 4.0, 5.0):
        run(backup, at, MASTER)
        backup.feed(backup.member.disagreed, HIGHER, at=at)
    seen = run(backup, 6.0, MASTER)
    assert seen[-1].startswith(f"fault: {VIP} is in use by 02:00:00:00:00:01")


def test_a_packet_that_does_not_fit_from_anybody_else_counts_for_nothing(backup: Driven) -> None:
    follow(backup)
    run(backup, 4.9, MASTER)
    backup.feed(backup.member.disagreed, LOWER, at=4.95)
    assert run(backup, 9.0, MASTER)[-1] == "master: no advertisement from the master"


def test_an_answer_that_comes_late_gives_the_address_back(backup: Driven) -> None:
    run(backup, 9.0)
    assert backup.member.is_master
    assert answer(backup, STRANGER) == ["remove", IN_USE]
    assert not backup.member.is_master


def test_an_answer_while_its_claim_stands_has_it_ask_again(backup: Driven) -> None:
    while "advertise 1/0" not in words(backup.timer()):
        pass
    assert answer(backup, STRANGER) == []
    assert run(backup, 9.0, STRANGER) == [IN_USE]


def approaching(backup: Driven) -> bytes:
    """It has asked once for the address that it is about to take; with which rank."""
    while True:
        for action in backup.timer():
            if isinstance(action, AskForAddresses) and action.rank:
                return action.rank


def test_its_questions_say_how_it_would_be_elected() -> None:
    backup = Driven(Settings(advbase=2, advskew=3), asks=True)
    assert approaching(backup) == (2 * 256 + 3).to_bytes(2, "big") + OURS.packed


def test_it_gives_way_to_whoever_asks_with_a_lower_rank_and_then_asks_again(backup: Driven) -> None:
    rank = approaching(backup)
    since = backup.now
    backup.feed(backup.member.address_wanted, rank[:2] + LOWER.packed)
    assert run(backup, 9.0, STRANGER) == [IN_USE]
    assert backup.now - since >= GIVES_WAY_S


def test_it_asks_again_at_once_when_a_higher_rank_may_not_have_heard_it(backup: Driven) -> None:
    rank = approaching(backup)
    backup.feed(backup.member.address_wanted, rank[:2] + HIGHER.packed, at=backup.now + GAP_S / 2)
    assert backup.member.deadline == backup.now
    since = backup.now
    run(backup, 9.0)
    assert backup.member.is_master
    assert backup.now - since == pytest.approx(QUESTIONS * GAP_S + CLAIM_S)


def test_whoever_asks_without_end_does_not_keep_the_address_from_being_taken(backup: Driven) -> None:
    rank, since = approaching(backup), backup.now
    while not backup.member.is_master:
        backup.feed(backup.member.address_wanted, bytes(len(rank)), at=backup.now)
        backup.timer()
    assert backup.now - since < HEEDED_MAX * (GIVES_WAY_S + QUESTIONS * GAP_S) + 0.1


def test_who_follows_a_master_does_not_care_who_asks(backup: Driven) -> None:
    follow(backup)
    deadline = backup.member.deadline
    assert backup.feed(backup.member.address_wanted, bytes(6)) == []
    assert backup.member.deadline == deadline


def test_what_was_taken_after_silence_is_asked_for_again_and_given_back(backup: Driven) -> None:
    run(backup, 9.0)
    asked = 0
    while backup.member.takeover.guard.confirm_at != NEVER:
        asked += any(isinstance(action, AskForAddresses) for action in backup.timer())
    assert asked == CONFIRMATIONS
    assert answer(backup, STRANGER) == ["remove", IN_USE]


def test_what_a_master_let_go_is_not_asked_for_again(backup: Driven) -> None:
    follow(backup)
    backup.hear(255, 255, at=2.5)
    run(backup, 9.0)
    assert backup.member.is_master
    assert backup.member.takeover.guard.confirm_at == NEVER


def test_without_the_probe_it_still_learns_who_answers_for_the_master() -> None:
    backup = Driven(asks=True)
    backup.member.takeover.configure(probes=False, guards=True)
    follow(backup)
    assert run(backup, 9.0, MASTER)[-1] == "master: no advertisement from the master"
    assert backup.now >= 5


# One successor.


def test_a_better_claim_ends_ours_before_an_address_is_taken(backup: Driven) -> None:
    follow(backup)
    backup.hear(255, 255, at=2.5)
    assert words(backup.timer()) == ["advertise 1/0"]
    backup.hear(1, 0, LOWER, at=2.501)
    assert run(backup, 3.4) == []
    assert not backup.member.is_master


def test_a_worse_claim_does_not(backup: Driven) -> None:
    follow(backup)
    backup.hear(255, 255, at=2.5)
    assert words(backup.timer()) == ["advertise 1/0"]
    backup.hear(1, 1, LOWER, at=2.501)
    backup.hear(1, 0, HIGHER, at=2.502)
    assert run(backup, 3.0)[-1] == "master: the master bowed out"


def test_a_claim_that_was_slept_through_is_made_again(backup: Driven) -> None:
    follow(backup)
    backup.hear(255, 255, at=2.5)
    assert words(backup.timer()) == ["advertise 1/0"]
    backup.now = 2.5 + 0.6
    assert words(backup.timer()) == ["advertise 1/0"]
    assert words(backup.timer())[-1] == "master: the master bowed out"


def test_preempting_needs_neither_question_nor_claim() -> None:
    backup = Driven(Settings(preempt=True), asks=True)
    assert words(backup.hear(1, 1)) == [
        *("advertise 1/0", "add", "announce"),
        "master: preempting a slower master",
    ]
