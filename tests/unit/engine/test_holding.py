"""A group's addresses: held, let go, announced, defended."""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_interface
from threading import Event, Timer
from typing import cast

import pytest

from carpsidecar.engine import holding as module
from carpsidecar.engine.holding import Holding
from carpsidecar.engine.interface import Interface
from carpsidecar.engine.renewer import Renewer
from carpsidecar.linux.netlink import HeldAddress, IPInterface, Link, Netlink
from carpsidecar.protocol.packet import IPAddress
from tests.support.logs import Logged
from tests.unit.engine.loops import Loop, group_config

HELD = HeldAddress(
    index=7,
    interface=ip_interface("192.0.2.1/24"),
    permanent=False,
    scope=0,
    secondary=False,
    deprecated=True,
    tentative=False,
    noprefixroute=True,
    valid_s=2,
)
VIP, OTHER = ip_address("192.0.2.100"), ip_address("2001:db8::100")


class FakeKernel:
    """An interface, its netlink and the leases on it, which do what they are told or fail."""

    name = "eth7"

    def __init__(self) -> None:
        self.link: Link | None = Link(index=7, name="eth7", up=True, mac=b"", loopback=False)
        self.done: list[str] = []
        self.announced: list[float] = []
        self.held: list[HeldAddress] = []
        self.failure: OSError | None = None
        self.free = Event()
        """Clear while somebody has the kernel's lock."""
        self.free.set()
        self.now: Callable[[], float] = time.monotonic

    def lease(
        self, netlink: object, index: int, addresses: tuple[IPInterface, ...], lifetime_s: int
    ) -> "FakeLease":
        self.done.append(f"lease of {lifetime_s} s on {index}")
        return FakeLease(self)

    def announce(self, addresses: list[IPAddress]) -> None:
        if self.failure:
            raise self.failure
        self.announced.append(self.now())

    def addresses(self, index: int) -> list[HeldAddress]:
        return self.held


class FakeLease:
    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel

    def renew(self, netlink: object = None) -> None:
        self._kernel.free.wait()
        if self._kernel.failure:
            raise self._kernel.failure
        self._kernel.done.append("renewed")

    def release(self) -> None:
        if self._kernel.failure:
            raise self._kernel.failure
        self._kernel.done.append("released")


class Bench:
    def __init__(self, loop: Loop, *, holds_addresses: bool = True) -> None:
        self.loop = loop
        self.kernel = FakeKernel()
        self.kernel.now = loop.asyncio.time
        self.failures: list[OSError] = []
        self.renewer = Renewer(loop.asyncio)
        self.renewed: list[OSError | None] = []
        self.holding = Holding(
            loop.asyncio,
            cast(Netlink, self.kernel),
            cast(Interface, self.kernel),
            group_config(str(VIP), str(OTHER), holds_addresses=holds_addresses),
            self.renewer,
            self.failures.append,
        )


@pytest.fixture
def bench(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(loop)
    monkeypatch.setattr(module, "Lease", bench.kernel.lease)
    yield bench
    bench.holding.stop_announcing()
    bench.renewer.close()


def test_a_lease_is_prepared_once_and_renewed_each_time(bench: Bench) -> None:
    for _ in range(3):
        bench.holding.renew(2)
    assert bench.kernel.done == ["lease of 2 s on 7", "renewed", "renewed", "renewed"]


def test_another_lifetime_or_another_interface_needs_another_lease(bench: Bench) -> None:
    bench.holding.renew(2)
    bench.holding.renew(5)
    bench.kernel.link = Link(index=8, name="eth7", up=True, mac=b"", loopback=False)
    bench.holding.renew(5)
    leases = [line for line in bench.kernel.done if line.startswith("lease")]
    assert leases == ["lease of 2 s on 7", "lease of 5 s on 7", "lease of 5 s on 8"]


def test_without_an_interface_there_is_nothing_to_hold_addresses_with(bench: Bench) -> None:
    bench.kernel.link = None
    with pytest.raises(OSError, match="interface eth7 is not there"):
        bench.holding.renew(2)


def test_what_the_kernel_refuses_at_the_release_is_said_unless_the_interface_is_gone(
    bench: Bench, logged: Logged
) -> None:
    bench.holding.renew(2)
    bench.kernel.failure = OSError("no")
    bench.holding.release()
    assert logged.lines == ["an address could not be taken off, and ends by itself: no"]
    bench.kernel.link = None
    bench.holding.release()
    assert len(logged.lines) == 1


def test_the_release_of_what_was_never_held_does_nothing(bench: Bench) -> None:
    bench.holding.release()
    assert bench.kernel.done == []


def test_addresses_that_hooks_hold_are_only_announced(loop: Loop) -> None:
    bench = Bench(loop, holds_addresses=False)
    bench.holding.renew(2)
    bench.holding.announce()
    bench.holding.release()
    assert bench.kernel.done == []
    assert len(bench.kernel.announced) == 1
    assert bench.holding.renew_soon(2, bench.renewed.append)
    assert bench.renewed == [None]
    bench.renewer.close()


def test_a_renewal_does_not_wait_for_the_kernel_and_says_how_it_ended(bench: Bench) -> None:
    bench.kernel.free.clear()
    assert bench.holding.renew_soon(2, bench.renewed.append)
    assert not bench.holding.renew_soon(2, bench.renewed.append)
    assert (bench.renewed, bench.kernel.done) == ([], ["lease of 2 s on 7"])
    bench.kernel.free.set()
    bench.loop.until(lambda: bench.renewed == [None])

    bench.kernel.failure = OSError("no")
    assert bench.holding.renew_soon(2, bench.renewed.append)
    bench.loop.until(lambda: len(bench.renewed) == 2)
    assert bench.renewed[1] is bench.kernel.failure


def test_a_release_comes_after_the_renewal_that_is_under_way_and_nothing_after_it(bench: Bench) -> None:
    bench.kernel.free.clear()
    bench.holding.renew_soon(2, bench.renewed.append)
    Timer(0.05, bench.kernel.free.set).start()
    bench.holding.release()
    bench.loop.a_while()
    assert bench.kernel.done == ["lease of 2 s on 7", "renewed", "released"]
    assert bench.renewed == []


def test_without_an_interface_a_renewal_is_not_begun(bench: Bench) -> None:
    bench.kernel.link = None
    with pytest.raises(OSError, match="interface eth7 is not there"):
        bench.holding.renew_soon(2, bench.renewed.append)


def test_lost_are_those_of_ours_that_are_not_back_already(bench: Bench) -> None:
    assert bench.holding.lost({VIP}) == set()
    bench.holding.renew(2)
    assert bench.holding.lost({VIP, OTHER, ip_address("192.0.2.1")}) == {VIP, OTHER}
    bench.kernel.held = [replace(HELD, interface=ip_interface(f"{VIP}/32"))]
    assert bench.holding.lost({VIP, OTHER}) == {OTHER}


def test_an_announcement_is_repeated_at_growing_intervals(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANNOUNCE_AGAIN_AFTER_S", (0.02, 0.06, 0.2))
    monkeypatch.setattr(module, "REFRESH_AFTER_S", 0.4)
    monkeypatch.setattr(module, "REFRESHING_REST", 1)
    begun = bench.loop.asyncio.time()
    bench.holding.announce()
    assert len(bench.kernel.announced) == 1
    bench.loop.until(lambda: len(bench.kernel.announced) == 4)
    _, *later = bench.kernel.announced
    assert all(at - begun >= after for at, after in zip(later, (0.02, 0.06, 0.2), strict=True))
    bench.loop.a_while(0.05)
    assert len(bench.kernel.announced) == 4
    bench.loop.until(lambda: len(bench.kernel.announced) == 6)
    refreshed = bench.kernel.announced[4:]
    assert all(at - begun >= after for at, after in zip(refreshed, (0.4, 0.8), strict=True))
    bench.holding.stop_announcing()
    bench.loop.a_while(0.5)
    assert len(bench.kernel.announced) == 6


def test_a_release_ends_the_announcements(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANNOUNCE_AGAIN_AFTER_S", (0.02, 0.03))
    bench.holding.renew(2)
    bench.holding.announce()
    bench.holding.release()
    bench.loop.a_while(0.1)
    assert len(bench.kernel.announced) == 1


def test_a_claim_is_answered_at_once_and_a_flood_of_them_at_a_limited_rate_to_the_last(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DEFENCE_GAP_MIN_S", 0.1)
    now = bench.loop.asyncio.time
    bench.holding.defend(now())
    assert len(bench.kernel.announced) == 1
    last_claim = now()
    while len(bench.kernel.announced) < 5:
        for _ in range(100):
            last_claim = now()
            bench.holding.defend(last_claim)
        bench.loop.a_while(0.001)
    bench.loop.until(lambda: bench.kernel.announced[-1] >= last_claim)
    gaps = [later - earlier for earlier, later in itertools.pairwise(bench.kernel.announced)]
    assert min(gaps) >= 0.05


def test_a_release_ends_the_defence(bench: Bench) -> None:
    bench.holding.renew(2)
    for _ in range(2):
        bench.holding.defend(bench.loop.asyncio.time())
    bench.holding.release()
    bench.loop.a_while(0.15)
    assert len(bench.kernel.announced) == 1


def test_an_announcement_that_fails_is_handed_on(bench: Bench) -> None:
    bench.kernel.failure = OSError("full")
    bench.holding.announce()
    assert bench.failures == [bench.kernel.failure]


def test_an_announcement_that_took_long_is_followed_by_a_rest(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
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
            bench.holding.announce()
    assert len(bench.kernel.announced) == 1

    bench.loop.until(lambda: len(bench.kernel.announced) == 2)
    first, second = bench.kernel.announced
    assert second - first >= module.ANNOUNCING_REST * took_s


def test_the_repeats_keep_the_rest_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
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
    bench.holding.announce()
    bench.loop.until(lambda: loop.time() > began + 1.0)
    times = bench.kernel.announced
    assert len(times) >= 3
    assert all(later - earlier >= module.ANNOUNCING_REST * took_s for earlier, later in itertools.pairwise(times))
