"""A group as master, whose kernel is slow, or which is stopped in the middle: it never speaks beyond its lease."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from carpsidecar.engine import group as module
from carpsidecar.engine.group import Group
from carpsidecar.linux.netlink import Link
from carpsidecar.protocol.effects import BOW_OUT, Advertise, Reason, State
from tests.unit.engine.loops import group_config

Done = Callable[[OSError | None], None]


class Clock:
    """In the place of the loop: its time is set by hand, and may jump while somebody is at work."""

    def __init__(self) -> None:
        self.now = 0.0
        self.jump_after: int | None = None
        """So many looks at the clock from now, an hour passes."""
        self.timers: list[tuple[float, Callable[..., None]]] = []

    def time(self) -> float:
        if self.jump_after is not None:
            self.jump_after -= 1
            if self.jump_after < 0:
                self.now, self.jump_after = self.now + 3600, None
        return self.now

    def call_at(self, at: float, called: Callable[..., None], *arguments: Any) -> Any:
        timer = (at, lambda: called(*arguments))
        self.timers.append(timer)

        def cancel() -> None:
            if timer in self.timers:
                self.timers.remove(timer)

        return SimpleNamespace(cancel=cancel)

    def call_later(self, after_s: float, called: Callable[..., None], *arguments: Any) -> Any:
        return self.call_at(self.now + after_s, called, *arguments)

    def call_soon(self, called: Callable[..., None], *arguments: Any) -> Any:
        return self.call_at(self.now, called, *arguments)

    def go_on(self) -> None:
        """To the next timer."""
        timer = min(self.timers, key=lambda timer: timer[0])
        self.timers.remove(timer)
        self.now = max(self.now, timer[0])
        timer[1]()


class Machine:
    """What a group has around it: the wire, and a kernel that renews when the test lets it."""

    def __init__(self) -> None:
        self.sent: list[Advertise] = []
        self.renewing: list[Done] = []
        self.released = 0
        self.ips: dict[Any, None] = {}
        self.sources = {4: "192.0.2.1"}
        self.source = None

    def send(self, advbase: int, advskew: int) -> None:
        self.sent.append(Advertise(advbase, advskew))

    def find_sources(self, virtual: object) -> bool:
        return False

    def renew(self, lifetime_s: int) -> None: ...

    def renew_soon(self, lifetime_s: int, done: Done) -> bool:
        self.renewing.append(done)
        return len(self.renewing) == 1

    def answer(self, error: OSError | None = None) -> None:
        done, self.renewing = self.renewing[0], []
        done(error)

    def release(self) -> None:
        self.renewing.clear()
        self.released += 1

    def announce(self) -> None: ...


class Master:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.machine, self.clock = Machine(), Clock()
        monkeypatch.setattr(module, "Transmitter", lambda *_: self.machine)
        monkeypatch.setattr(module, "Holding", lambda *_: self.machine)
        link = Link(index=7, name="eth7", up=True, mac=b"", loopback=False)
        interface = SimpleNamespace(name="eth7", link=link, up=True, watch_claims=lambda: None)
        loop = cast(asyncio.AbstractEventLoop, self.clock)
        around: Any = (lambda: (), lambda group: None, lambda notice: None)
        self.group = Group(loop, cast(Any, None), cast(Any, interface), group_config(), cast(Any, None), *around)
        self.group.start()
        self.clock.go_on()
        assert self.group.is_master
        self.machine.sent.clear()

    def stepped_back(self) -> bool:
        """In silence: whoever has taken over is not to be told to yield, or to take over once more."""
        missed = self.group.election.reason is Reason.LEASE_MISSED and self.machine.released == 1
        return self.group.election.state is State.BACKUP and missed and BOW_OUT not in self.machine.sent


@pytest.fixture
def master(monkeypatch: pytest.MonkeyPatch) -> Master:
    return Master(monkeypatch)


def test_a_master_whose_kernel_renews_goes_on(master: Master) -> None:
    for _ in range(5):
        master.clock.go_on()
        master.machine.answer()
    assert master.group.is_master
    assert master.machine.sent == [Advertise(1, 0)] * 5
    assert master.group.lease.renewals == 6


def test_without_an_answer_from_the_kernel_it_advertises_until_its_lease_ends_and_no_longer(master: Master) -> None:
    since = master.clock.now
    while master.group.is_master:
        master.clock.go_on()
    assert master.clock.now == since + 2
    assert master.machine.sent == [Advertise(1, 0)]
    assert master.stepped_back()


def test_an_answer_that_comes_too_late_is_none(master: Master) -> None:
    master.clock.go_on()
    master.clock.now += 2
    master.machine.answer()
    assert master.stepped_back()


def test_a_renewal_that_was_due_while_one_was_under_way_follows_it(master: Master) -> None:
    master.clock.go_on()
    master.group.reconfigure(master.group.configured)
    assert len(master.machine.renewing) == 2
    master.machine.answer()
    assert len(master.machine.renewing) == 1


def test_stopped_after_it_looked_at_the_clock_it_does_not_advertise(master: Master) -> None:
    # The first look is that of the timer.
    master.clock.jump_after = 1
    master.clock.go_on()
    assert master.machine.sent == []
    assert master.stepped_back()
