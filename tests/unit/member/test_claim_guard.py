"""Before a takeover after silence the address is asked for, and not taken from whoever has it."""

import pytest

from carpsidecar.member.claim_guard import (
    DISAGREES_FOR_S,
    GAP_S,
    LATE_S,
    NEVER,
    QUESTIONS,
    ClaimGuard,
    GuardStep,
    Holder,
)

ADDRESS = "192.0.2.100"
STRANGER, MEMBER = b"\2\0\0\0\0\1", b"\2\0\0\0\0\2"


@pytest.fixture
def guard() -> ClaimGuard:
    return ClaimGuard()


def ask(guard: ClaimGuard, now: float, *answers: bytes) -> tuple[float, GuardStep]:
    """All its questions from `now` on; these machines answer the last one. When it decided, and what."""
    guard.begin(now)
    for number in range(1, QUESTIONS + 1):
        now = guard.deadline
        assert guard.timer_expired(now) is GuardStep.ASK
        if number == QUESTIONS:
            for mac in answers:
                assert guard.answered(now + 0.001, ADDRESS, mac) is None
    now = guard.deadline
    return now, guard.timer_expired(now)


def test_an_address_that_nobody_has_is_taken_within_20_ms(guard: ClaimGuard) -> None:
    now, what = ask(guard, 5.0)
    assert what is GuardStep.FREE
    assert now - 5.0 == pytest.approx(QUESTIONS * GAP_S)
    assert now - 5.0 <= 0.020
    assert guard.deadline == NEVER


def test_an_address_that_a_stranger_has_is_not_taken(guard: ClaimGuard) -> None:
    assert ask(guard, 5.0, STRANGER)[1] is GuardStep.IN_USE
    assert guard.holder == Holder(STRANGER, ADDRESS)


def test_a_stranger_that_goes_away_leaves_it_free(guard: ClaimGuard) -> None:
    ask(guard, 5.0, STRANGER)
    assert ask(guard, 8.0)[1] is GuardStep.FREE
    assert guard.holder is None


def test_a_silent_master_that_still_answers_has_lost_it(guard: ClaimGuard) -> None:
    guard.member_answered(MEMBER)
    assert ask(guard, 5.0, MEMBER)[1] is GuardStep.FREE


def test_a_member_does_not_hide_a_stranger(guard: ClaimGuard) -> None:
    guard.member_answered(MEMBER)
    assert ask(guard, 5.0, MEMBER, STRANGER)[1] is GuardStep.IN_USE
    assert guard.holder == Holder(STRANGER, ADDRESS)


def test_a_master_that_lives_and_disagrees_keeps_it(guard: ClaimGuard) -> None:
    guard.member_answered(MEMBER)
    guard.disagreed(4.5, patience_s=1.0)
    assert ask(guard, 5.0, MEMBER)[1] is GuardStep.IN_USE
    assert ask(guard, 4.5 + DISAGREES_FOR_S, MEMBER)[1] is GuardStep.FREE


def test_whoever_disagrees_but_does_not_answer_keeps_nothing(guard: ClaimGuard) -> None:
    guard.disagreed(4.5, patience_s=1.0)
    assert ask(guard, 5.0)[1] is GuardStep.FREE


def test_a_late_answer_gives_it_back(guard: ClaimGuard) -> None:
    now, _ = ask(guard, 5.0)
    assert guard.answered(now + 0.5, ADDRESS, STRANGER) == Holder(STRANGER, ADDRESS)


def test_an_answer_long_after_is_somebody_elses_business(guard: ClaimGuard) -> None:
    now, _ = ask(guard, 5.0)
    assert guard.answered(now + LATE_S, ADDRESS, STRANGER) is None


def test_nothing_is_asked_when_a_master_advertises_meanwhile(guard: ClaimGuard) -> None:
    guard.begin(5.0)
    guard.timer_expired(5.0)
    guard.give_up()
    assert guard.deadline == NEVER
    assert guard.timer_expired(9.0) is GuardStep.NOTHING


def test_what_is_known_of_members_is_bounded(guard: ClaimGuard) -> None:
    for number in range(1000):
        guard.member_answered(number.to_bytes(6, "big"))
    guard.member_answered(MEMBER)
    assert ask(guard, 5.0, MEMBER)[1] is GuardStep.FREE
    assert ask(guard, 6.0, (0).to_bytes(6, "big"))[1] is GuardStep.IN_USE
