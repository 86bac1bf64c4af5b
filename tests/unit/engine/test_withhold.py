"""A group that the cluster wants to take no part: what it shows, and that a master goes on."""

import pytest

from carpsidecar.config.sources import load
from carpsidecar.engine.agreement import agreements
from carpsidecar.member.member import Member
from carpsidecar.protocol.effects import Settings, State
from tests.unit.member.driving import OURS

REASON = "192.0.2.11 is refused: it is the address of node n1"


@pytest.mark.parametrize("role", ["backup", "fault"])
def test_it_shows_the_role_that_it_was_given_and_takes_no_part(role: str) -> None:
    member = Member(Settings(), OURS)
    member.start(0.0, "")
    member.role_withheld = role  # type: ignore[assignment]
    member.link_changed(0.5, REASON)
    assert (member.role, member.reason, member.state) == (role, REASON, State.INIT)
    member.timer_expired(100.0)
    assert member.state is State.INIT
    member.role_withheld = None
    member.link_changed(101.0, "")
    assert (member.role, member.state) == ("backup", State.BACKUP)


def all_of(**flags: object) -> list[str]:
    given = {"vip": "192.0.2.100", "passphrase": "in the lab", "interface": "eth0", **flags}
    return agreements(load(given, {}).groups[0])


def of(**flags: object) -> str:
    return all_of(**flags)[0]


def test_what_members_must_agree_upon_changes_the_hash_and_nothing_else_does() -> None:
    same = of()
    assert of(advskew="100", preempt=True) == same
    others = {of(vip=["192.0.2.100", "192.0.2.101"]), of(vhid="7"), of(auth="hardened"), of(passphrase="another")}
    assert len(others | {same}) == 5
    assert len(same) == 16
    assert of(vip=["192.0.2.101", "192.0.2.100"], vhid="1") == of(vip=["192.0.2.100", "192.0.2.101"], vhid="1")


def test_in_the_hardened_mode_members_with_other_addresses_agree() -> None:
    assert of(auth="hardened", vhid="7") == of(auth="hardened", vhid="7", vip=["192.0.2.101", "192.0.2.102"])
    assert of(auth="hardened", vhid="7") != of(auth="hardened", vhid="8")


def test_who_accepts_what_another_signs_with_agrees_with_it() -> None:
    both = all_of(passphrase="new\nold")
    assert both == [of(passphrase="new"), of(passphrase="old")]
    before, after = "192.0.2.100", ["192.0.2.100", "192.0.2.101"]
    assert all_of(vip=after, also_accept=before, vhid="7") == [of(vip=after, vhid="7"), of(vip=before, vhid="7")]
