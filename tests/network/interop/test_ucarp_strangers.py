"""A speaker that does not belong to the group, by its passphrase, its addresses or its mode, disturbs nobody."""

import pytest

from carpsidecar.lab.holders import HolderWatch
from tests.support.cluster import mac_of
from tests.support.peers import OTHER_VIP, PASSPHRASE, Kind, Member, Segment, client_of, needs_ucarp, segment
from tests.support.waits import SOON_S

pytestmark = [pytest.mark.network, needs_ucarp, pytest.mark.at_once]

NAMES = ("first", "second", "stranger")
both_ways = pytest.mark.parametrize(("master", "backup"), [("ours", "ucarp"), ("ucarp", "ours")])


def of_kind(made: Segment, kind: Kind) -> Member:
    """The group's own member of this kind."""
    return next(member for member in made.members[:2] if member.kind == kind)


def times_logged(member: Member, text: str) -> int:
    return member.log.count(text)


@both_ways
def test_another_passphrase_is_reported_once_and_changes_nothing(master: Kind, backup: Kind) -> None:
    reported = "bad digest from 10.99.0.13 on eth0, vhid 42: do passphrase and addresses agree?"
    with segment(*NAMES) as made, client_of(made) as client:
        holder, other = made.join_pair(master, backup)
        # It has no script to add the address with, but it advertises, and announces what it does not have.
        stranger = made.join("ucarp", "stranger", passphrase=PASSPHRASE.upper(), scripts=False)
        stranger.wait_for_role("master", SOON_S)
        of_kind(made, "ours").process.wait_for(reported, SOON_S)
        of_kind(made, "ucarp").process.wait_for("Bad digest", SOON_S)
        made.expect_peace(holder)
        assert other.transitions == ["backup"]
        assert times_logged(of_kind(made, "ours"), reported) == 1
        assert stranger.transitions == ["backup", "master"]
        if holder.kind == "ours":
            client.wait_until_answered_by(holder.name, SOON_S)


@pytest.mark.parametrize("stranger", ["ours", "ucarp"])
@both_ways
def test_another_address_list_is_reported_by_both_and_each_keeps_its_own(
    master: Kind, backup: Kind, stranger: Kind
) -> None:
    with segment(*NAMES) as made, HolderWatch(list(made.nodes.values()), OTHER_VIP) as other_watch:
        holder, other = made.join_pair(master, backup)
        apart = made.join(stranger, "stranger", vip=OTHER_VIP)
        other_watch.wait_for_holder("stranger", SOON_S)
        apart.wait_for_role("master", SOON_S)
        of_kind(made, "ours").process.wait_for("bad digest from 10.99.0.13", SOON_S)
        if stranger == "ours":
            apart.process.wait_for(f"bad digest from {holder.node.address}", SOON_S)
        made.expect_peace(holder)
        assert other_watch.holders_now() == {"stranger"}
        assert other.transitions == ["backup"]
        assert times_logged(of_kind(made, "ours"), "bad digest") == 1
        assert apart.transitions == ["backup", "master"]


def test_hardened_mode_beside_ucarp_is_another_version_to_it_and_no_advertisement() -> None:
    with segment(*NAMES) as made, HolderWatch(list(made.nodes.values()), OTHER_VIP) as other_watch:
        ucarp, ours = made.join_pair("ucarp", "ours")
        hardened = made.join("ours", "stranger", "--auth", "hardened", vip=OTHER_VIP)
        other_watch.wait_for_holder("stranger", SOON_S)
        hardened.wait_for_role("master", SOON_S)
        ucarp.process.wait_for("Bad version: [3]", SOON_S)
        ours.process.wait_for("bad version from 10.99.0.13", SOON_S)
        hardened.process.wait_for("bad version from 10.99.0.11", SOON_S)
        made.expect_peace(ucarp)
        assert other_watch.holders_now() == {"stranger"}
        assert hardened.transitions == ["backup", "master"]
        assert times_logged(ucarp, "Bad digest") == 0


def test_a_master_that_is_started_again_with_another_vhid_keeps_its_address_and_is_named() -> None:
    with segment("first", "second") as made:
        ucarp, ours = made.join_pair("ucarp", "ours")
        made.expect_peace(ucarp)
        ucarp.process.kill()
        # Its kernel has the address all the while; as a rule it would run its script to take it off.
        changed = made.join("ucarp", "first", "--vhid=43", "--deadratio=1", "--neutral")
        changed.wait_for_role("master", SOON_S)
        ours.process.wait_for(f"became fault: {made.vip} is in use by {mac_of(ucarp.node)}", SOON_S)
        assert "bad vhid from 10.99.0.11 on eth0, vhid 43: passphrase and addresses are those of" in ours.log
        made.expect_peace(changed)
        changed.process.kill()
        made.nodes["first"].run(["ip", "address", "del", f"{made.vip}/32", "dev", "eth0"])
        made.expect_holder(ours)
