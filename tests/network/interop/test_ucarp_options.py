"""The options that change what goes over the wire, or how fast, mean the same to ours and to ucarp."""

from collections.abc import Mapping, Sequence

import pytest

from tests.support.peers import Kind, Member, Segment, client_of, needs_ucarp, segment
from tests.support.waits import SOON_S

pytestmark = [pytest.mark.network, needs_ucarp, pytest.mark.at_once]

GROUP = "239.192.0.18"
BROADCAST = {"ours": ("--broadcast",), "ucarp": ("-M",), "drop-in": ("-M",)}
MULTICAST = {"ours": ("--multicast", GROUP), "ucarp": ("--mcast", GROUP), "drop-in": ("--mcast", GROUP)}

both_ways = pytest.mark.parametrize(
    ("master", "backup"), [("ours", "ucarp"), ("ucarp", "ours"), ("drop-in", "ucarp")]
)


def pair(made: Segment, kinds: tuple[Kind, Kind], options: Mapping[str, Sequence[str]]) -> list[Member]:
    first = made.join(kinds[0], "first", *options[kinds[0]])
    made.expect_holder(first)
    second = made.join(kinds[1], "second", *options[kinds[1]], advskew=20)
    second.wait_for_role("backup", SOON_S)
    return [first, second]


def expect_that_they_hear_each_other(made: Segment, master: Member, backup: Member) -> None:
    made.expect_peace(master)
    assert backup.transitions == ["backup"]
    master.process.stop()
    made.expect_holder(backup)
    made.expect_no_complaints()


@both_ways
def test_broadcasts_are_understood(master: Kind, backup: Kind) -> None:
    with segment() as made:
        expect_that_they_hear_each_other(made, *pair(made, (master, backup), BROADCAST))


@both_ways
def test_another_multicast_group_is_understood(master: Kind, backup: Kind) -> None:
    with segment() as made:
        expect_that_they_hear_each_other(made, *pair(made, (master, backup), MULTICAST))


@pytest.mark.parametrize("kind", ["ours", "drop-in"])
def test_intervals_below_a_second_do_not_flap_as_ucarps_do(kind: Kind) -> None:
    # Who forgets the dead ratio has no more patience than the second's interval is longer, which is 4 ms.
    with segment() as made, client_of(made) as client:
        first = made.join(kind, "first", "--advbase", "0", advskew=100)
        made.expect_holder(first)
        second = made.join(kind, "second", "--advbase", "0", advskew=101)
        second.wait_for_role("backup", SOON_S)
        made.expect_peace(first, 6)
        assert second.transitions == ["backup"]
        client.wait_until_answered_by("first", SOON_S)


def test_a_longer_interval_and_another_dead_ratio_are_shared_by_both() -> None:
    timing = ("--advbase", "2")
    with segment() as made:
        ucarp = made.join("ucarp", "first", *timing, "-r", "2")
        made.expect_holder(ucarp)
        ours = made.join("ours", "second", *timing, "--dead-ratio", "2", advskew=20)
        ours.wait_for_role("backup", SOON_S)
        made.expect_peace(ucarp, 6)
        ucarp.process.kill()
        made.expect_holder(ours)
        made.expect_no_complaints()
