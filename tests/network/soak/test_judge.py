"""The judge of the endurance test, on invented facts: what it must notice, and what it must let pass."""

import pytest

from carpsidecar.lab.holders import Change
from tests.network.soak.facts import Facts, Kind, Trouble
from tests.network.soak.judge import GONE, PARTED, WELL, double_holdings, judge
from tests.network.soak.scene import SCENES

SLOW, FAST = SCENES
A, B, C = "n1", "n2", "n3"
HEALED, END = 120.0, 130.0


def facts_of(
    *held: tuple[str, float, float],
    troubles: tuple[Trouble, ...] = (),
    scene: int = 0,
    answered: tuple[tuple[str, float, float], ...] = (),
) -> Facts:
    """Who held the address from when to when, and who answered for it, in a round from 100 s to 130 s."""
    names = SCENES[scene].names
    advskews = dict(zip(names, SCENES[scene].advskews, strict=True))
    changes = [
        Change(at, node, is_start) for node, begin, end in held for at, is_start in ((begin, True), (end, False))
    ]
    return Facts(
        begin=100.0,
        troubles=list(troubles),
        healed=HEALED,
        end=END,
        changes=sorted((c for c in changes if c.at <= END), key=lambda change: change.at),
        intervals_s={name: SCENES[scene].interval_s(s) for name, s in advskews.items()},
        lifetimes_s={name: SCENES[scene].lifetime_s(s) for name, s in advskews.items()},
        silent_s={name: SCENES[scene].master_down_s(s) for name, s in advskews.items()},
        answers={name: [(begin, end) for node, begin, end in answered if node == name] for name in names},
        advskews=advskews,
    )


def trouble(kind: Kind, begin: float, end: float, *nodes: str) -> Trouble:
    return Trouble(kind, frozenset(nodes or (A,)), begin, end, undone_from=end - 0.01, struck=begin)


def found(facts: Facts, scene: int = 0) -> list[str]:
    return [violation.text for violation in judge(SCENES[scene], facts)]


def test_a_round_in_which_the_best_node_holds_the_address_all_the_time_is_fine() -> None:
    assert found(facts_of((A, 50, 999))) == []


@pytest.mark.parametrize(
    ("together_s", "troubles", "noticed"),
    [
        (1.2, (), False),
        (1.3, (), True),
        (5.0, (trouble(Kind.CUT_OFF, 102, 108),), False),
        (5.0, (trouble(Kind.CUT_OFF, 102, 108, C),), True),
        (5.0, (trouble(Kind.CLOCK, 102, 108),), True),
        (5.0, (trouble(Kind.HALVES, 102, 108, A, C),), False),
        (5.0, (trouble(Kind.HALVES, 102, 108, A, B),), True),
        (5.0, (trouble(Kind.CUT_OFF, 102, 104),), True),
        (5.0, (trouble(Kind.CUT_OFF, 102, 104), trouble(Kind.MUTE, 104.5, 107.5, B)), False),
    ],
)
def test_two_that_hear_each_other_may_hold_it_for_one_interval(
    together_s: float, troubles: tuple[Trouble, ...], noticed: bool
) -> None:
    texts = found(facts_of((A, 50, 999), (B, 103, 103 + together_s), troubles=troubles))
    assert any("hear each other" in text for text in texts) == noticed


@pytest.mark.parametrize("kind", [Kind.KILL, Kind.HANG])
@pytest.mark.parametrize(("kept_s", "noticed"), [(2.7, False), (2.8, True)])
def test_the_address_of_a_dead_daemon_lasts_no_longer_than_its_lease(
    kind: Kind, kept_s: float, noticed: bool
) -> None:
    dead = trouble(kind, 103, 110)
    texts = found(facts_of((A, 50, 103 + kept_s), (B, 107, 110.5), (A, 110.4, 999), troubles=(dead,)))
    assert any("held the address" in text for text in texts) == noticed


def test_a_stopped_or_unplugged_node_has_no_address() -> None:
    for kind in (Kind.STOP, Kind.CABLE):
        quick = facts_of((A, 50, 103.2), (B, 103.1, 111), (A, 110.9, 999), troubles=(trouble(kind, 103, 110),))
        assert found(quick) == []
        slow = facts_of((A, 50, 103.5), (B, 103.1, 111), (A, 110.9, 999), troubles=(trouble(kind, 103, 110),))
        assert len(found(slow)) == 1


def test_an_unplugged_node_has_it_no_longer_than_the_machine_needed_to_unplug_it_and_to_run_its_daemon() -> None:
    for struck, waited_s, noticed in ((103.3, 0.0, False), (103.1, 0.1, True), (103.1, 0.2, False)):
        busy = Trouble(Kind.CABLE, frozenset({A}), 103, 110, undone_from=109.99, struck=struck, waited_s=waited_s)
        held = (A, 50, 103.5), (B, 103.4, 111), (A, 110.9, 999)
        assert bool(found(facts_of(*held, troubles=(busy,)))) == noticed


def test_a_death_alone_lets_nobody_share_the_address_where_the_lease_is_shorter_than_patience() -> None:
    held = (A, 50, 105), (B, 104.9, 110.1), (A, 110, 999)
    assert [
        "nothing else" in text for text in found(facts_of(*held, troubles=(trouble(Kind.KILL, 103, 110),)))
    ] == [True]
    two = (trouble(Kind.KILL, 103, 110), trouble(Kind.LOSSY, 101, 104, C))
    assert found(facts_of(*held, troubles=two)) == []


def test_of_a_fenced_address_that_stands_on_two_nodes_after_a_death_alone_one_answers() -> None:
    held = (A, 50, 104.6), (B, 103.3, 110.1), (A, 110, 999)
    for kind in (Kind.KILL, Kind.HANG):
        for both_s, noticed in ((-0.01, False), (0.001, True)):
            answered = (A, 100, 103.2), (B, 103.2 - both_s, 110)
            facts = facts_of(*held, troubles=(trouble(kind, 103, 110),), scene=1, answered=answered)
            assert ["nothing else" in text for text in found(facts, scene=1)] == [True] * noticed


def test_a_backup_that_is_less_patient_than_its_master_may_answer_before_the_masters_fence_ends() -> None:
    held = (B, 50, 104.6), (A, 103.3, 999)
    dead = trouble(Kind.HANG, 103, 110, B)
    facts = facts_of(*held, troubles=(dead,), scene=1, answered=((B, 100, 103.4), (A, 103.2, 130)))
    assert found(facts, scene=1) == []


@pytest.mark.parametrize("kind", [Kind.KILL, Kind.HANG])
@pytest.mark.parametrize(("answers_s", "noticed"), [(0.48, False), (0.5, True)])
def test_a_dead_node_answers_no_longer_than_its_fence(kind: Kind, answers_s: float, noticed: bool) -> None:
    answered = (A, 100, 103 + answers_s), (B, 103.6, 130)
    held = (A, 50, 104), (B, 103.6, 110.1), (A, 110, 999)
    dead = Trouble(kind, frozenset({A}), 102.9, 110, undone_from=109.99, struck=103)
    facts = facts_of(*held, troubles=(dead,), scene=1, answered=answered)
    assert ["answered for" in text for text in found(facts, scene=1)] == [True] * noticed


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ([(B, 50, 999)], "wrong"),
        ([(A, 50, 103)], "nobody holds"),
        ([(A, 50, 126), (B, 126, 999)], "at peace"),
        ([(A, 50, 126), (A, 126.01, 999)], "at peace"),
        ([(A, 50, 999), (B, 123, 999)], "n1 and n2 holds"),
    ],
)
def test_peace_has_one_holder_the_right_one_for_good(held: list[tuple[str, float, float]], words: str) -> None:
    assert any(words in text for text in found(facts_of(*held)))


def test_one_that_was_asked_to_step_down_may_be_passed_over_until_it_is_master_again() -> None:
    facts = facts_of((A, 50, 103.01), (B, 103, 999))
    facts.asked = {A: 103.0}
    assert found(facts) == []
    facts = facts_of((A, 50, 103.01), (B, 103, 111), (A, 105, 106), (B, 111, 999))
    facts.asked = {A: 103.0}
    assert any("wrong" in text for text in found(facts))


def test_one_that_was_asked_to_step_down_may_take_over_late_from_a_master_hardly_faster_than_it_waits() -> None:
    late = (A, 50, 103.01), (B, 103, 124.05), (A, 124, 999)
    for advskews, noticed in (({A: 20, B: 54}, False), ({A: 80, B: 84}, True)):
        facts = facts_of(*late, scene=1)
        facts.advskews = advskews
        facts.asked = {A: 103.0}
        assert bool(found(facts, scene=1)) == noticed


def test_double_holdings_are_told_apart() -> None:
    troubles = (trouble(Kind.HANG, 102, 104), trouble(Kind.CUT_OFF, 105, 108, B))
    facts = facts_of((A, 50, 999), (B, 103, 109), troubles=troubles)
    assert [(category, span) for _, _, category, span in double_holdings(facts)] == [
        (GONE, (103, 104)),
        (WELL, (104, 105)),
        (PARTED, (105, 108)),
        (WELL, (108, 109)),
    ]
