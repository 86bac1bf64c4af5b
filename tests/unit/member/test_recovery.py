"""Every demotion that a member concluded from a failure ends by itself, and an address that it should not have."""

from itertools import pairwise

import pytest

from carpsidecar.member.actions import Action, AddAddresses, Degraded, DemotionChanged, TryAdding, TrySending
from carpsidecar.member.recovery import GAP_MAX_S, QUIET_S
from carpsidecar.protocol.effects import PromotionBlocker, Reason, Settings
from tests.unit.member.driving import HIGHER, LOWER, Driven, driven_master, words


def one_that_can_not_send() -> Driven:
    """It was master, and is a backup now, of one that advertises more slowly."""
    driven = driven_master(Settings(preempt=True))
    driven.sends_fail = True
    while not driven.member.degraded:
        driven.timer()
        while driven.renewals:
            driven.answer()
    driven.hear(1, 100, HIGHER)
    assert driven.member.role == "backup"
    return driven


def one_that_can_not_add() -> Driven:
    driven = Driven(Settings(preempt=True))
    driven.add_failure = OSError(13, "Permission denied")
    while not driven.member.degraded:
        driven.timer()
    driven.hear(1, 100, HIGHER)
    assert driven.member.role == "backup"
    return driven


def attempts(driven: Driven, until: float) -> list[float]:
    """When it tried, while the master goes on advertising."""
    times = []
    while driven.now < until:
        deadline = driven.member.deadline
        assert deadline is not None
        if deadline > driven.now + 1:
            driven.hear(1, 100, HIGHER, at=driven.now + 1)
        elif any(isinstance(action, TrySending | TryAdding) for action in driven.timer()):
            times.append(driven.now)
    return times


@pytest.mark.parametrize("broken", [one_that_can_not_send, one_that_can_not_add])
def test_what_failed_is_tried_at_growing_intervals_and_never_often(broken: type) -> None:
    driven = broken()
    begun = driven.now
    times = attempts(driven, begun + 600)
    gaps = [round(after - before) for before, after in pairwise(times)]
    assert times[0] - begun <= 1
    assert gaps[:5] == [2, 4, 8, 16, 32]
    assert set(gaps[5:]) == {GAP_MAX_S}


@pytest.mark.parametrize(
    ("broken", "cause"), [(one_that_can_not_send, "sending"), (one_that_can_not_add, "addresses")]
)
def test_a_test_that_succeeds_ends_the_demotion_and_the_preferred_node_is_master_again(
    broken: type, cause: str
) -> None:
    driven = broken()
    assert list(driven.member.demotions.amounts) == [cause]
    assert driven.member.demotions.texts[cause]
    driven.sends_fail, driven.add_failure = False, None
    done: list[Action] = []
    while driven.member.degraded:
        done += driven.timer()
    assert DemotionChanged(cause, 0, "") in done
    assert Degraded(False) in done
    assert words(driven.hear(1, 100, HIGHER))[-1] == "master: preempting a slower master"


def test_one_that_adds_in_a_test_but_not_in_earnest_takes_over_at_a_bounded_rate() -> None:
    driven = one_that_can_not_add()
    begun, takeovers = driven.now, 0
    failure = driven.add_failure
    while driven.now < begun + 600:
        driven.hear(1, 100, HIGHER, at=driven.now + 0.5)
        takeovers += any(isinstance(action, AddAddresses) for action in driven.done)
        deadline = driven.member.deadline
        if deadline is not None and deadline <= driven.now:
            driven.add_failure = None
            driven.timer()
            driven.add_failure = failure
    assert 0 < takeovers <= 6 + 600 / GAP_MAX_S


def test_a_failure_after_a_quiet_time_is_a_new_one() -> None:
    driven = one_that_can_not_send()
    attempts(driven, driven.now + 100)
    driven.sends_fail = False
    while driven.member.degraded:
        driven.hear(1, 100, HIGHER, at=driven.now + 1)
        driven.timer()
    recovery = driven.member.recovery["sending"]
    recovery.failed(driven.now + QUIET_S)
    assert recovery.due_at == driven.now + QUIET_S + 1


def test_a_master_tries_nothing_since_it_does_the_real_thing() -> None:
    driven = driven_master()
    driven.sends_fail = True
    for _ in range(20):
        assert not any(isinstance(action, TrySending) for action in driven.timer())
        while driven.renewals:
            driven.answer()


@pytest.mark.parametrize("broken", [one_that_can_not_send, one_that_can_not_add])
def test_a_person_may_promote_it_all_the_same_and_it_tries(broken: type) -> None:
    driven = broken()
    assert driven.member.promotion_blocker is None
    driven.sends_fail, driven.add_failure = False, None
    assert words(driven.feed(driven.member.promote, "try"))[-1] == "master: promoted: try"
    assert driven.member.demotions.amounts == {}


def test_what_was_commanded_blocks_a_promotion() -> None:
    driven = Driven()
    driven.feed(driven.member.siblings_degraded, {"inside"})
    assert driven.member.promotion_blocker is None, "the sibling is asked for itself"
    driven.feed(driven.member.demote, "operator", 240, True)
    assert driven.member.promotion_blocker is PromotionBlocker.DEMOTED


def test_an_address_of_the_group_on_a_backup_is_a_fault_until_it_goes() -> None:
    driven = Driven()
    done = driven.feed(driven.member.addresses_found, [LOWER])
    reason = "192.0.2.11 is on this node, which is not master: somebody added it, take it off"
    assert words(done) == [f"fault: {reason}"]
    assert (driven.member.role, driven.member.reason, driven.member.degraded) == ("fault", reason, False)
    assert driven.feed(driven.member.addresses_found, [LOWER]) == []
    assert words(driven.feed(driven.member.addresses_found, [])) == [f"backup: {Reason.ADDRESS_ABSENT}"]
    assert driven.member.role == "backup"


def test_and_no_longer_one_when_the_backup_becomes_master() -> None:
    driven = Driven()
    driven.feed(driven.member.addresses_found, [LOWER])
    driven.become_master()
    assert driven.member.role == "master"
    assert driven.feed(driven.member.addresses_found, [LOWER]) == [], "a master is to have it"
    assert words(driven.feed(driven.member.step_down))[-1] == "backup: asked to step down"
