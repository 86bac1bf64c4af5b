"""A group as backup on a machine that was paused: what it did not hear is no sign of a silent master."""

from ipaddress import IPv4Address

import pytest

from carpsidecar.member.takeover import CLAIM_S
from carpsidecar.protocol.effects import Reason
from carpsidecar.protocol.packet import header, pack, unpack
from tests.unit.engine.group_alone import GroupAlone

MASTER = IPv4Address("192.0.2.2")


@pytest.fixture
def backup(monkeypatch: pytest.MonkeyPatch) -> GroupAlone:
    """Heard its master, which never answers ARP, at 10 s, and would take over at 13 s."""
    alone = GroupAlone(monkeypatch)
    alone.group.member.takeover.configure(probes=False, guards=False)
    alone.clock.now = 10.0
    hear(alone)
    return alone


def hear(backup: GroupAlone, advbase: int = 1, advskew: int = 0) -> None:
    packet = pack(header(42, advskew, advbase), bytes(8), bytes(20))
    backup.group.heard(backup.clock.now, unpack(packet), MASTER)


def test_a_backup_that_runs_takes_over_from_a_silent_master_when_it_said_it_would(backup: GroupAlone) -> None:
    while not backup.group.is_master:
        backup.clock.go_on()
    assert backup.clock.now == pytest.approx(13 + CLAIM_S)
    assert backup.group.member.election.reason is Reason.MASTER_SILENT


@pytest.mark.parametrize("wakes_at", [12.6, 13.0, 3600.0])
def test_one_that_stalled_listens_for_an_interval_first(backup: GroupAlone, wakes_at: float) -> None:
    backup.clock.now = wakes_at
    backup.clock.go_on()
    assert not backup.group.is_master
    while not backup.group.is_master:
        backup.clock.go_on()
    assert backup.clock.now == pytest.approx(wakes_at + 1 + CLAIM_S)


def test_and_goes_on_as_a_backup_where_its_master_is_well(backup: GroupAlone) -> None:
    backup.clock.now = 3600.0
    backup.clock.go_on()
    backup.clock.now += 0.9
    hear(backup)
    # A timer that was armed before it is put off when it expires.
    while backup.clock.now < 3601.5:
        backup.clock.go_on()
    assert not backup.group.is_master
    assert backup.clock.now == pytest.approx(3600.9 + 2)


def test_a_bow_out_needs_no_second_look(backup: GroupAlone) -> None:
    hear(backup, 255, 255)
    backup.clock.now = 12.9
    while not backup.group.is_master:
        backup.clock.go_on()
    assert backup.group.member.election.reason is Reason.MASTER_BOWED_OUT
