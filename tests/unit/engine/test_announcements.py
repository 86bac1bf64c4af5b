"""A group's announcements: repeated, refreshed, and made against whoever claims an address of ours."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from typing import cast

import pytest

from carpsidecar.engine import announcements as module
from carpsidecar.engine.announcements import Announcements
from carpsidecar.engine.group_log import GroupLog
from carpsidecar.engine.interface import Interface
from carpsidecar.ipc.messages import Notice
from carpsidecar.protocol.packet import IPAddress
from tests.support.logs import Logged
from tests.unit.engine.loops import Loop

VIP = ip_address("192.0.2.100")
MAC = bytes.fromhex("020000000001")


class FakeInterface:
    def __init__(self) -> None:
        self.announced: list[float] = []
        self.failure: OSError | None = None
        self.at_most: int | None = None
        """So many can be answered at once."""
        self.answered: list[list[IPAddress]] = []
        self.now: Callable[[], float] = time.monotonic

    def announce(self, addresses: list[IPAddress]) -> None:
        if self.failure:
            raise self.failure
        self.announced.append(self.now())

    def answer(self, addresses: Sequence[IPAddress]) -> Sequence[IPAddress]:
        if self.at_most is None:
            self.announce(list(addresses))
            return []
        self.answered.append(list(addresses[: self.at_most]))
        return addresses[self.at_most :]


class AnnouncementsBench:
    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.kernel = FakeInterface()
        self.kernel.now = loop.asyncio.time
        self.notices: list[Notice] = []
        self.announcements = Announcements(
            loop.asyncio,
            cast(Interface, self.kernel),
            [VIP],
            GroupLog(loop.asyncio, "web", "eth7"),
            self.notices.append,
        )


@pytest.fixture
def bench(loop: Loop) -> Iterator[AnnouncementsBench]:
    bench = AnnouncementsBench(loop)
    yield bench
    bench.announcements.stop()


def test_an_announcement_is_repeated_at_growing_intervals(
    bench: AnnouncementsBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANNOUNCE_AGAIN_AFTER_S", (0.02, 0.06, 0.2))
    monkeypatch.setattr(module, "REFRESH_AFTER_S", 0.4)
    monkeypatch.setattr(module, "REFRESHING_REST", 1)
    begun = bench.loop.asyncio.time()
    bench.announcements.announce()
    assert len(bench.kernel.announced) == 1
    bench.loop.until(lambda: len(bench.kernel.announced) == 4)
    _, *later = bench.kernel.announced
    assert all(at - begun >= after for at, after in zip(later, (0.02, 0.06, 0.2), strict=True))
    bench.loop.a_while(0.05)
    assert len(bench.kernel.announced) == 4
    bench.loop.until(lambda: len(bench.kernel.announced) == 6)
    refreshed = bench.kernel.announced[4:]
    assert all(at - begun >= after for at, after in zip(refreshed, (0.4, 0.8), strict=True))
    bench.announcements.stop()
    bench.loop.a_while(0.5)
    assert len(bench.kernel.announced) == 6


def test_a_release_ends_the_announcements(bench: AnnouncementsBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANNOUNCE_AGAIN_AFTER_S", (0.02, 0.03))
    bench.announcements.announce()
    bench.announcements.stop()
    bench.loop.a_while(0.1)
    assert len(bench.kernel.announced) == 1


def test_a_claim_is_answered_at_once_and_a_flood_of_them_at_a_limited_rate_to_the_last(
    bench: AnnouncementsBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DEFENCE_GAP_MIN_S", 0.1)
    now = bench.loop.asyncio.time
    bench.announcements.defend(now())
    assert len(bench.kernel.announced) == 1
    last_claim = now()
    while len(bench.kernel.announced) < 5:
        for _ in range(100):
            last_claim = now()
            bench.announcements.defend(last_claim)
        bench.loop.a_while(0.001)
    bench.loop.until(lambda: bench.kernel.announced[-1] >= last_claim)
    gaps = [later - earlier for earlier, later in itertools.pairwise(bench.kernel.announced)]
    assert min(gaps) >= 0.05


def test_a_release_ends_the_defence(bench: AnnouncementsBench) -> None:
    for _ in range(2):
        bench.announcements.defend(bench.loop.asyncio.time())
    bench.announcements.stop()
    bench.loop.a_while(0.15)
    assert len(bench.kernel.announced) == 1


def test_an_announcement_that_fails_is_logged(bench: AnnouncementsBench, logged: Logged) -> None:
    bench.kernel.failure = OSError("full")
    bench.announcements.announce()
    assert logged.lines == ["the addresses could not be announced: full"]


def test_a_foreign_claim_is_counted_and_answered_once_for_many_while_we_are_master(
    bench: AnnouncementsBench,
) -> None:
    for _ in range(3):
        bench.announcements.claimed(VIP, MAC, by_peer=False)
    bench.loop.until(lambda: bool(bench.notices))
    assert (bench.announcements.foreign_claims, len(bench.kernel.announced)) == (3, 1)
    assert [(notice.kind, notice.peer) for notice in bench.notices] == [("conflict", "02:00:00:00:00:01")]


def test_two_masters_that_answer_each_other_do_so_ever_more_seldom(
    bench: AnnouncementsBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A BSD answers each of our announcements with one of its own, from the virtual MAC address of its group."""
    monkeypatch.setattr(module, "ANSWER_AFTER_S", 0.0)
    started = bench.loop.asyncio.time()
    while bench.loop.asyncio.time() < started + 1.5:
        bench.announcements.claimed(VIP, MAC, by_peer=True)
        bench.loop.a_while(0.01)
    assert 3 <= len(bench.kernel.announced) <= 5, "at once, after 0.2, 0.6 and 1.4 s"
    assert (bench.announcements.foreign_claims, bench.notices) == (0, [])


def test_nobody_answers_a_claim_after_the_release(bench: AnnouncementsBench) -> None:
    bench.announcements.claimed(VIP, MAC, by_peer=False)
    bench.announcements.stop()
    bench.loop.a_while(2 * module.ANSWER_AFTER_S)
    assert bench.kernel.announced == []


def test_an_announcement_that_took_long_is_followed_by_a_rest(
    bench: AnnouncementsBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    took_s, now = 0.005, bench.loop.asyncio.time()
    quick = bench.kernel.announce

    def slow(addresses: list[IPAddress]) -> None:
        nonlocal now
        quick(addresses)
        now += took_s

    with monkeypatch.context() as at_once:
        at_once.setattr(bench.kernel, "announce", slow)
        at_once.setattr(bench.kernel, "now", lambda: now)
        at_once.setattr(bench.loop.asyncio, "time", lambda: now)
        for _ in range(20):
            bench.announcements.announce()
    assert len(bench.kernel.announced) == 1

    bench.loop.until(lambda: len(bench.kernel.announced) == 2)
    first, second = bench.kernel.announced
    assert second - first >= module.ANNOUNCING_REST * took_s


def test_the_repeats_keep_the_rest_too(bench: AnnouncementsBench, monkeypatch: pytest.MonkeyPatch) -> None:
    took_s = 0.02
    quick, loop = bench.kernel.announce, bench.loop.asyncio
    began, took = loop.time(), 0.0
    real = loop.time

    def slow(addresses: list[IPAddress]) -> None:
        nonlocal took
        quick(addresses)
        took += took_s

    monkeypatch.setattr(bench.kernel, "announce", slow)
    monkeypatch.setattr(bench.kernel, "now", lambda: real() + took)
    monkeypatch.setattr(loop, "time", lambda: real() + took)
    monkeypatch.setattr(module, "ANNOUNCE_AGAIN_AFTER_S", (0.05, 0.1, 0.3))
    bench.announcements.announce()
    bench.loop.until(lambda: loop.time() > began + 1.0)
    times = bench.kernel.announced
    assert len(times) >= 3
    assert all(later - earlier >= module.ANNOUNCING_REST * took_s for earlier, later in itertools.pairwise(times))


def test_what_was_too_much_to_answer_follows_and_goes_first_when_it_is_answered_again(
    loop: Loop, logged: Logged
) -> None:
    bench = AnnouncementsBench(loop)
    many: list[IPAddress] = [ip_address(f"192.0.2.{n}") for n in range(6)]
    bench.announcements._ips = many
    bench.kernel.at_most = 2
    bench.announcements.defend(loop.asyncio.time())
    bench.announcements._defend()
    loop.until(lambda: len(bench.kernel.answered) >= 4)
    bench.announcements.stop()
    loop.a_while()
    assert bench.kernel.answered == [many[:2], many[2:4], many[4:], many[:2]]
