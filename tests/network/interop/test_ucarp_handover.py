"""Ours and ucarp as master and backup of each other: stopped, killed, and with the cable pulled.

Each test goes through both directions: what was the backup has become the master, and is struck next.
"""

import pytest

from tests.support.peers import VHID, Kind, Member, Segment, client_of, needs_ucarp, segment
from tests.support.tap import Tap
from tests.support.waits import SOON_S

pytestmark = [pytest.mark.network, needs_ucarp, pytest.mark.at_once]

every_pair = pytest.mark.parametrize(
    ("first", "second"), [("ours", "ucarp"), ("drop-in", "ucarp"), ("ours", "drop-in"), ("drop-in", "drop-in")]
)

UCARP_SLEEPS_S = 10.0
"""ucarp looks at a link that is down no more often."""
HELD_BY_TWO_S = 0.9
"""A script of ucarp's takes as long as a process does on a busy machine; a lease would take a second or more."""


def in_both_directions(first: Member, second: Member) -> list[tuple[Member, Member]]:
    return [(first, second), (second, first)]


def two_held_it(made: Segment) -> bool:
    return made.watch.two_holders_s() > HELD_BY_TWO_S


@every_pair
def test_a_master_that_is_stopped_hands_over_and_comes_back_as_a_backup(first: Kind, second: Kind) -> None:
    with segment() as made, client_of(made) as client:
        for leaving, staying in in_both_directions(*made.join_pair(first, second)):
            client.wait_until_answered_by(leaving.name, SOON_S)
            leaving.process.stop()
            made.expect_holder(staying)
            client.wait_until_answered_by(staying.name, SOON_S)
            made.rejoin(leaving)
        made.expect_peace(made.members[0])
        assert not two_held_it(made)
        made.expect_no_complaints()


@every_pair
def test_a_master_that_is_killed_is_replaced_and_comes_back_as_a_backup(first: Kind, second: Kind) -> None:
    with segment() as made, client_of(made) as client, Tap(made.lab.nodes["client"]) as tap:
        for dying, staying in in_both_directions(*made.join_pair(first, second)):
            client.wait_until_answered_by(dying.name, SOON_S)
            already_s = made.watch.two_holders_s()
            dying.process.kill()
            made.expect_holder(staying)
            if dying.kind == "ours":
                # The kernel dropped it, while scripts are called by nobody after a kill -9.
                assert made.watch.two_holders_s() == already_s
            client.wait_until_answered_by(staying.name, SOON_S)
            made.rejoin(dying)
            made.watch.wait_for_exactly_one(SOON_S)
            # Whom it has not heard is a stranger to it, and a killed ucarp's kernel answers for ever.
            tap.wait_for_more(2, VHID, SOON_S)
        made.expect_peace(made.members[0])
        made.expect_no_complaints()


@every_pair
def test_a_master_whose_cable_is_pulled_is_replaced_and_a_backup_once_it_is_plugged_in(
    first: Kind, second: Kind
) -> None:
    with segment() as made, client_of(made) as client:
        for struck, staying in in_both_directions(*made.join_pair(first, second)):
            client.wait_until_answered_by(struck.name, SOON_S)
            heard = staying.process.log_size
            struck.node.pull_cable()
            made.watch.wait_for_holder(staying.name, UCARP_SLEEPS_S + SOON_S)
            staying.wait_for_role("master", SOON_S, after=heard)
            client.wait_until_answered_by(staying.name, SOON_S)
            struck.node.plug_cable()
            if struck.kind != "ucarp":
                struck.process.wait_for("became backup: the link is back", SOON_S)
        made.expect_peace(made.members[0], UCARP_SLEEPS_S if second == "ucarp" else 4)
        assert not two_held_it(made)
        made.expect_no_complaints()
