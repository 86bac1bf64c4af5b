"""Promoted by hand: faster than the master for as long as it is one, and nothing where that can't be."""

from ipaddress import IPv6Address

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from carpsidecar.protocol.effects import Advertise, PromotionBlocker, Reason, State
from carpsidecar.protocol.election import Election
from carpsidecar.protocol.packet import IPAddress
from carpsidecar.protocol.timing import interval_ticks
from tests.unit.protocol.peers import (
    BOW_OUT,
    BYE,
    HIGHER,
    LOWER,
    OURS,
    backup,
    became,
    due,
    hear,
    master,
    takes_over,
)


def following(election: Election, advbase: int, advskew: int, source: IPAddress = HIGHER) -> Election:
    """This backup, when it has heard this master."""
    hear(election, 1.0, advbase, advskew, source)
    assert election.state is State.BACKUP
    return election


def test_a_backup_takes_over_with_the_smallest_change_that_wins() -> None:
    election = following(backup(advskew=100), 1, 50)
    assert takes_over(election.promote(1.5), Advertise(1, 49), Reason.PROMOTED, HIGHER)
    assert due(election) == 1.5 + 1 + 49 / 256


def test_the_advbase_stays() -> None:
    election = following(backup(advbase=2, advskew=254), 3, 0)
    assert takes_over(election.promote(1.5), Advertise(2, 254), Reason.PROMOTED, HIGHER)
    assert following(backup(advbase=3, advskew=1), 2, 0).promotion_blocker is PromotionBlocker.SLOWER


def test_one_that_is_faster_already_needs_no_change() -> None:
    assert takes_over(following(backup(), 1, 50).promote(1.5), Advertise(1, 0), Reason.PROMOTED, HIGHER)


def test_a_tie_is_good_enough_where_nothing_is_shorter_and_ours_is_the_lower_address() -> None:
    assert takes_over(
        following(backup(advskew=100), 1, 0, HIGHER).promote(1.5), Advertise(1, 0), Reason.PROMOTED, HIGHER
    )
    assert takes_over(
        following(backup(advbase=0, advskew=9), 0, 1, HIGHER).promote(1.5), Advertise(0, 1), Reason.PROMOTED, HIGHER
    )


def test_a_master_as_fast_as_can_be_that_wins_the_tie_can_not_be_outrun() -> None:
    election = following(backup(advskew=100), 1, 0, LOWER)
    assert election.promotion_blocker is PromotionBlocker.SLOWER
    assert list(election.promote(1.5)) == []
    assert election.state is State.BACKUP
    assert following(backup(advbase=0, advskew=9), 0, 1, LOWER).promotion_blocker is PromotionBlocker.SLOWER


def test_an_address_of_the_other_family_breaks_no_tie() -> None:
    assert (
        following(backup(advskew=100), 1, 0, IPv6Address("fe80::ffff")).promotion_blocker is PromotionBlocker.SLOWER
    )
    assert following(backup(advskew=100), 1, 1, IPv6Address("fe80::1")).promotion_blocker is None


def test_where_no_master_is_heard_it_takes_over_as_it_is() -> None:
    assert takes_over(backup(advskew=100).promote(0.1), Advertise(1, 100), Reason.PROMOTED)
    left = following(backup(advskew=100), 1, 0, LOWER)
    hear(left, 1.1, *BYE, LOWER)
    assert takes_over(left.promote(1.1), Advertise(1, 100), Reason.PROMOTED)


def test_one_that_yielded_knows_what_it_yielded_to() -> None:
    election = master(advskew=100)
    hear(election, 4.0, 1, 20, HIGHER)
    assert takes_over(election.promote(4.1), Advertise(1, 19), Reason.PROMOTED, HIGHER)


def test_it_is_itself_again_when_it_is_no_master_any_more() -> None:
    election = following(backup(advskew=100), 1, 50)
    election.promote(1.5)
    assert hear(election, 2.0, 1, 48, LOWER)[1] == Advertise(1, 49)
    assert (election.state, election.advskew) == (State.BACKUP, 100)


@pytest.mark.parametrize("reason", [Reason.STEP_DOWN, Reason.DEMOTED])
def test_it_is_itself_again_when_it_is_demoted_by_hand(reason: Reason) -> None:
    election = following(backup(advskew=100), 1, 50)
    election.promote(1.5)
    assert election.step_down(2.0, reason)[0] == BOW_OUT
    assert election.advskew == 100
    assert due(election) == 2.0 + 3 + 100 / 256


def test_one_that_stepped_down_preempts_nobody_until_it_is_promoted() -> None:
    election = following(backup(preempt=True, advskew=60), 1, 50)
    election.promote(1.5)
    election.step_down(2.0, Reason.STEP_DOWN)
    assert list(hear(election, 2.1, 1, 90, HIGHER)) == []
    assert became(election.promote(2.2)).reason is Reason.PROMOTED


def test_demotions_count_on_top_of_it_and_other_settings_keep_it() -> None:
    election = following(backup(advskew=100), 1, 50)
    election.promote(1.5)
    election.demotion_changed(1.6, 30)
    assert election.advskew == 79
    election.demotion_changed(1.7, 0)
    election.configure(1.8, backup(advskew=200).settings)
    assert election.advskew == 49
    election.configure(1.9, backup(advskew=10).settings)
    assert election.advskew == 10


def test_a_demoted_one_is_not_promoted() -> None:
    election = following(backup(advskew=100), 1, 50)
    election.demotion_changed(1.1, 1)
    assert election.promotion_blocker is PromotionBlocker.DEMOTED
    assert list(election.promote(1.5)) == []


def test_nor_one_that_takes_no_part() -> None:
    election = following(backup(), 1, 50)
    election.link_changed(1.1, up=False)
    assert election.promotion_blocker is PromotionBlocker.INIT
    assert list(election.promote(1.5)) == []


def test_a_master_stays_one() -> None:
    election = master()
    assert election.promotion_blocker is None
    assert list(election.promote(3.5)) == []


@given(
    theirs=st.tuples(st.integers(0, 3), st.integers(0, 255)),
    advbase=st.integers(0, 3),
    advskew=st.integers(0, 254),
    lower=st.booleans(),
)
def test_whoever_is_promoted_wins_and_whoever_can_not_is_told(
    theirs: tuple[int, int], advbase: int, advskew: int, lower: bool
) -> None:
    source = LOWER if lower else HIGHER
    ours = backup(advbase, advskew)
    hear(ours, 0.1, *theirs, source)
    assume(ours.state is State.BACKUP and due(ours) > 0.2)
    rival = master(theirs[0], theirs[1], source=source)
    effects = ours.promote(0.1)
    if not effects:
        assert ours.promotion_blocker is PromotionBlocker.SLOWER
        fastest = interval_ticks(advbase, 0)
        assert fastest > interval_ticks(*theirs) or (fastest == interval_ticks(*theirs) and lower)
        return
    sent = effects[0]
    assert isinstance(sent, Advertise)
    hear(rival, due(rival), sent.advbase, sent.advskew, OURS)
    assert rival.state is State.BACKUP
    assert sent.advbase == advbase
    assert sent.advskew == advskew or interval_ticks(advbase, sent.advskew + 1) >= interval_ticks(*theirs)
