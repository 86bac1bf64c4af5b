"""A preferred node that preempts takes the address from a healthy master: ours from ucarp, and ucarp from ours."""

import pytest

from tests.support.peers import SLOWER, Kind, client_of, needs_ucarp, segment
from tests.support.waits import SOON_S

pytestmark = [pytest.mark.network, needs_ucarp, pytest.mark.at_once]

HELD_BY_TWO_S = {"ucarp": 1.9, "ours": 0.9, "drop-in": 0.9}
"""By who must yield, and less than an interval: Debian's ucarp reads what it has heard up to a second late (see
test_ucarp_bow_out.py)."""


@pytest.mark.parametrize(
    ("preferred", "slower"),
    [("ours", "ucarp"), ("ucarp", "ours"), ("drop-in", "ucarp"), ("ucarp", "drop-in"), ("drop-in", "ours")],
)
def test_a_preferred_node_takes_over_as_soon_as_it_hears_the_master(preferred: Kind, slower: Kind) -> None:
    with segment() as made, client_of(made) as client:
        master = made.join(slower, "first", advskew=SLOWER)
        made.expect_holder(master)
        client.wait_until_answered_by("first", SOON_S)
        newcomer = made.join(preferred, "second", "--preempt")
        newcomer.wait_for_role("backup", SOON_S)
        made.expect_holder(newcomer)
        master.wait_for_role("backup", SOON_S)
        # ucarp announces itself before it advertises, which we contradict: then it announces itself again.
        client.wait_until_answered_by("second", SOON_S)
        made.expect_peace(newcomer)
        client.wait_until_answered_by("second", SOON_S)
        assert newcomer.transitions == ["backup", "master"]
        assert made.watch.two_holders_s() < HELD_BY_TWO_S[slower]
        if slower != "ucarp":
            assert "claims" not in master.log, "who preempts announces before it advertises: that is no conflict"
        made.expect_no_complaints()


@pytest.mark.parametrize(("preferred", "slower"), [("ours", "ucarp"), ("ucarp", "ours")])
def test_without_preempt_even_the_preferred_node_leaves_the_address_where_it_is(
    preferred: Kind, slower: Kind
) -> None:
    with segment() as made:
        master = made.join(slower, "first", advskew=SLOWER)
        made.expect_holder(master)
        newcomer = made.join(preferred, "second")
        newcomer.wait_for_role("backup", SOON_S)
        made.expect_peace(master)
        assert newcomer.transitions == ["backup"]
        made.expect_no_complaints()
