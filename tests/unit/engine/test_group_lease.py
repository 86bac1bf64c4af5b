"""A group as master, whose kernel is slow, or which is stopped in the middle: it never speaks beyond its lease."""

import pytest

from carpsidecar.protocol.effects import BOW_OUT, Advertise, Reason, State
from tests.unit.engine.group_alone import GroupAlone


class Master(GroupAlone):
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(monkeypatch)
        self.group.member.takeover.configure(probes=False, guards=False)  # it would ask once more as a master
        while not self.group.is_master:
            self.clock.go_on()
        self.machine.sent.clear()

    def stepped_down(self) -> bool:
        """In silence: whoever has taken over is not to be told to yield, or to take over once more."""
        election = self.group.member.election
        missed = election.reason is Reason.LEASE_MISSED and self.machine.removed == 1
        return election.state is State.BACKUP and missed and BOW_OUT not in self.machine.sent


@pytest.fixture
def master(monkeypatch: pytest.MonkeyPatch) -> Master:
    return Master(monkeypatch)


def test_a_master_whose_kernel_renews_goes_on(master: Master) -> None:
    for _ in range(5):
        master.clock.go_on()
        master.machine.answer()
    assert master.group.is_master
    assert master.machine.sent == [Advertise(1, 0)] * 5
    assert master.group.member.lease.confirmed == 6


def test_without_an_answer_from_the_kernel_it_advertises_until_its_lease_ends_and_no_longer(master: Master) -> None:
    since = master.clock.now
    while master.group.is_master:
        master.clock.go_on()
    assert master.clock.now == since + 2
    assert master.machine.sent == [Advertise(1, 0)]
    assert master.stepped_down()


def test_an_answer_that_comes_too_late_is_none(master: Master) -> None:
    master.clock.go_on()
    master.clock.now += 2
    master.machine.answer()
    assert master.stepped_down()


def test_a_renewal_that_was_due_while_one_was_under_way_follows_it(master: Master) -> None:
    master.clock.go_on()
    master.group.reconfigure(master.group.configured)
    assert len(master.machine.renewing) == 1
    master.machine.answer()
    assert len(master.machine.renewing) == 1


def test_stopped_after_it_looked_at_the_clock_it_does_not_advertise(master: Master) -> None:
    # The first look is that of the timer.
    master.clock.jump_after = 1
    master.clock.go_on()
    assert master.machine.sent == []
    assert master.stepped_down()
