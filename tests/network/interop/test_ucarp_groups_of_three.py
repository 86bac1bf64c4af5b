"""Three machines, some with ucarp, some with ours: the master is lost, and one of the others holds the address."""

import pytest

from tests.support.peers import Kind, Member, Segment, client_of, needs_ucarp, segment
from tests.support.waits import SOON_S

pytestmark = [pytest.mark.network, needs_ucarp, pytest.mark.at_once]

NAMES = ("one", "two", "three")
Kinds = tuple[Kind, Kind, Kind]

mixed = pytest.mark.parametrize(
    "kinds",
    [
        ("ours", "ucarp", "ucarp"),
        ("ucarp", "ours", "ucarp"),
        ("ucarp", "ours", "ours"),
        ("ours", "ucarp", "ours"),
        ("ucarp", "drop-in", "ours"),
    ],
    ids="-".join,
)


def all_join(made: Segment, kinds: Kinds) -> list[Member]:
    """The first as master, and then the others, each a little less preferred than the one before."""
    first = made.join(kinds[0], NAMES[0])
    made.expect_holder(first)
    others = [made.join(kinds[n], NAMES[n], advskew=n * 50) for n in (1, 2)]
    for other in others:
        other.wait_for_role("backup", SOON_S)
    return [first, *others]


def the_one_that_holds(made: Segment, among: list[Member]) -> Member:
    """Wait until one of these holds the address, and no other of these does."""
    names = {member.name for member in among}
    made.watch.wait_until(lambda holders: len(holders & names) == 1, SOON_S, "one holder of two")
    # ucarp looks at its clock once an interval, so that the less preferred one may be first, and yield later.
    made.watch.wait_until_quiet(2.5, SOON_S)
    (name,) = made.watch.holders_now() & names
    return next(member for member in among if member.name == name)


@mixed
def test_when_the_masters_machine_is_lost_one_of_the_others_holds_the_address(kinds: Kinds) -> None:
    with segment(*NAMES) as made, client_of(made) as client:
        master, *others = all_join(made, kinds)
        made.expect_peace(master, 2)
        client.wait_until_answered_by(master.name, SOON_S)
        master.node.power_off()
        heir = the_one_that_holds(made, others)
        client.wait_until_answered_by(heir.name, SOON_S)
        made.expect_peace(heir)
        made.expect_no_complaints()


@mixed
def test_when_the_master_is_stopped_one_of_the_others_holds_the_address_and_it_can_come_back(kinds: Kinds) -> None:
    with segment(*NAMES) as made, client_of(made) as client:
        master, *others = all_join(made, kinds)
        client.wait_until_answered_by(master.name, SOON_S)
        master.process.stop()
        heir = the_one_that_holds(made, others)
        client.wait_until_answered_by(heir.name, SOON_S)
        made.rejoin(master)
        made.expect_peace(heir)
        made.expect_no_complaints()
