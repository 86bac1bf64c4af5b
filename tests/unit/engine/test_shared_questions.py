"""Groups of one master: which of them asks, and for whom an answer is."""

from ipaddress import ip_address

import pytest

from carpsidecar.engine.shared_questions import SharedQuestions

MASTER, OTHER_MASTER = ip_address("192.0.2.11"), ip_address("192.0.2.12")
ONE, TWO, THREE = (ip_address(f"192.0.2.10{n}") for n in (1, 2, 3))
GAP_S = 0.02


@pytest.fixture
def shared() -> SharedQuestions:
    return SharedQuestions()


def test_of_two_groups_that_would_ask_at_the_same_time_one_does(shared: SharedQuestions) -> None:
    assert shared.is_due(5.000, MASTER, ONE, GAP_S)
    assert not shared.is_due(5.001, MASTER, TWO, GAP_S)
    assert shared.is_due(5.001, OTHER_MASTER, THREE, GAP_S)
    assert shared.master_of(ONE) == MASTER
    assert shared.master_of(TWO) is None
    assert shared.master_of(THREE) == OTHER_MASTER


def test_a_group_that_is_alone_asks_each_time_even_if_its_timer_was_late_before(shared: SharedQuestions) -> None:
    assert all(shared.is_due(at, MASTER, ONE, GAP_S) for at in (5.000, 5.021, 5.040, 5.0605))


def test_what_was_asked_is_forgotten_when_no_more_answers_can_come(shared: SharedQuestions) -> None:
    shared.is_due(5.000, MASTER, ONE, GAP_S)
    shared.forget()
    assert shared.master_of(ONE) is None
    assert shared.is_due(5.001, MASTER, TWO, GAP_S)
