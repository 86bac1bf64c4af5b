"""A group's addresses: held, renewed, lost and let go."""

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from threading import Event, Timer
from typing import cast

import pytest

from carpsidecar.engine import addresses as module
from carpsidecar.engine.addresses import HeldAddresses
from carpsidecar.engine.fencing import Fencing
from carpsidecar.engine.interface import Interface
from carpsidecar.engine.renewals import Renewer
from carpsidecar.linux.lease import Lease
from carpsidecar.linux.netlink import HeldAddress, IPAddress, IPInterface, Link, Netlink
from tests.support.logs import Logged
from tests.unit.engine.loops import Loop, group_config

UNTIL = 103.5
VIP, OTHER = ip_address("192.0.2.100"), ip_address("2001:db8::100")


class FakeKernel:
    """An interface, its netlink and the leases on it, which do what they are told or fail."""

    name = "eth7"

    def __init__(self) -> None:
        self.link: Link | None = Link(index=7, name="eth7", up=True, mac=b"", loopback=False)
        self.done: list[str] = []
        self.held: list[HeldAddress] = []
        self.failure: OSError | None = None
        self.free = Event()
        """Clear while somebody has the kernel's lock."""
        self.free.set()
        self.asked = Event()
        """Set when something was asked of it."""

    def lease(
        self,
        netlink: object,
        index: int,
        addresses: tuple[IPInterface, ...],
        lifetime_s: int,
        beside: list[HeldAddress] | None = None,
        rearrange: bool = False,
    ) -> "FakeLease":
        assert beside in (None, self.held)
        self.done.append(f"lease of {lifetime_s} s on {index}" + ", rearranged" * rearrange)
        return FakeLease(self)

    def addresses_beside(self, netlink: object) -> list[HeldAddress]:
        return self.held


class FakeFencing:
    def __init__(self, kernel: FakeKernel) -> None:
        self.kernel = kernel
        self.lacking = ""

    def add(self, addresses: Iterable[IPAddress], until: float) -> None:
        self.kernel.done.append(f"fenced, live until {until:g}")

    def remove(self, addresses: Iterable[IPAddress]) -> None:
        self.kernel.done.append("fenced no longer")

    def renew(self, addresses: Iterable[IPAddress], until: float) -> None:
        self.kernel.done.append(f"live until {until:g} soon")

    def renew_now(self, addresses: Iterable[IPAddress], until: float) -> None:
        self.kernel.done.append(f"live until {until:g}")

    def expire(self, addresses: Iterable[IPAddress]) -> None:
        self.kernel.done.append("live no longer")


class FakeLease:
    rearranges, index = True, 7

    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel

    stands_alone = False

    def renew(self, netlink: object = None) -> None:
        self._kernel.asked.set()
        self._kernel.free.wait()
        if self._kernel.failure:
            raise self._kernel.failure
        self._kernel.done.append("renewed")

    def release(self) -> None:
        if self._kernel.failure:
            raise self._kernel.failure
        self._kernel.done.append("released")


class AddressesBench:
    def __init__(self, loop: Loop, *, holds_addresses: bool = True) -> None:
        self.loop = loop
        self.kernel = FakeKernel()
        self.renewer = Renewer(loop.asyncio)
        self.renewed: list[OSError | None] = []
        self.addresses = HeldAddresses(
            cast(Netlink, self.kernel),
            cast(Interface, self.kernel),
            group_config(str(VIP), str(OTHER), holds_addresses=holds_addresses),
            self.renewer,
            cast(Fencing, FakeFencing(self.kernel)),
        )


@pytest.fixture
def bench(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> Iterator[AddressesBench]:
    bench = AddressesBench(loop)
    monkeypatch.setattr(module, "Lease", bench.kernel.lease)
    yield bench
    bench.renewer.close()


def test_a_lease_is_prepared_once_and_renewed_each_time(bench: AddressesBench) -> None:
    for _ in range(3):
        bench.addresses.add(2, UNTIL)
    assert bench.kernel.done == ["lease of 2 s on 7", "renewed", "renewed", "renewed"]


def test_behind_a_fence_an_address_is_live_before_it_is_held_and_as_long_as_it_is_renewed(
    bench: AddressesBench,
) -> None:
    bench.addresses.fence(True)
    bench.addresses.add(2, UNTIL)
    bench.addresses.keep_live(104.5)
    bench.addresses.remove()
    bench.addresses.fence(False)
    bench.addresses.keep_live(105.5)
    held = ["live until 103.5", "renewed", "live until 104.5 soon", "live no longer", "released"]
    assert [line for line in bench.kernel.done if not line.startswith("lease")] == [
        "fenced, live until 0",
        *held,
        "fenced no longer",
    ]


def test_a_fence_that_a_master_gets_is_open(bench: AddressesBench) -> None:
    bench.addresses.add(2, UNTIL)
    bench.addresses.fence(True, UNTIL)
    assert bench.kernel.done[-1] == "fenced, live until 103.5"


def test_another_lifetime_or_another_interface_needs_another_lease(bench: AddressesBench) -> None:
    bench.addresses.add(2, UNTIL)
    bench.addresses.add(5, UNTIL)
    bench.kernel.link = Link(index=8, name="eth7", up=True, mac=b"", loopback=False)
    bench.addresses.add(5, UNTIL)
    leases = [line for line in bench.kernel.done if line.startswith("lease")]
    assert leases == ["lease of 2 s on 7", "lease of 5 s on 7", "lease of 5 s on 8"]


def test_when_own_addresses_came_or_went_the_next_renewal_arranges_ours_anew_once(bench: AddressesBench) -> None:
    bench.addresses.rearrange()
    bench.addresses.add(2, UNTIL)
    bench.addresses.rearrange()
    bench.addresses.add(2, UNTIL)
    bench.addresses.add(2, UNTIL)
    bench.addresses.rearrange()
    bench.addresses.remove()
    held = ["lease of 2 s on 7", "renewed", "lease of 2 s on 7, rearranged", "renewed", "renewed", "released"]
    assert bench.kernel.done == held


def test_without_an_interface_there_is_nothing_to_hold_addresses_with(bench: AddressesBench) -> None:
    bench.kernel.link = None
    with pytest.raises(OSError, match="interface eth7 is not there"):
        bench.addresses.add(2, UNTIL)


def test_what_the_kernel_refuses_at_the_release_is_said_unless_the_interface_is_gone(
    bench: AddressesBench, logged: Logged
) -> None:
    bench.addresses.add(2, UNTIL)
    bench.kernel.failure = OSError("no")
    bench.addresses.remove()
    assert logged.lines == ["an address could not be taken off, and ends by itself: no"]
    bench.kernel.link = None
    bench.addresses.remove()
    assert len(logged.lines) == 1


def test_the_release_of_what_was_never_held_does_nothing(bench: AddressesBench) -> None:
    bench.addresses.remove()
    assert bench.kernel.done == []


def test_addresses_that_hooks_hold_are_left_to_them(loop: Loop) -> None:
    bench = AddressesBench(loop, holds_addresses=False)
    bench.addresses.add(2, UNTIL)
    bench.addresses.remove()
    assert not bench.addresses.renew(2, bench.renewed.append)
    assert (bench.kernel.done, bench.renewed) == ([], [])
    bench.renewer.close()


def test_a_renewal_does_not_wait_for_the_kernel_and_says_how_it_ended(bench: AddressesBench) -> None:
    bench.kernel.free.clear()
    assert bench.addresses.renew(2, bench.renewed.append)
    assert (bench.renewed, bench.kernel.done) == ([], ["lease of 2 s on 7"])
    bench.kernel.free.set()
    bench.loop.until(lambda: bench.renewed == [None])

    bench.kernel.failure = OSError("no")
    assert bench.addresses.renew(2, bench.renewed.append)
    bench.loop.until(lambda: len(bench.renewed) == 2)
    assert bench.renewed[1] is bench.kernel.failure


def test_a_release_comes_after_the_renewal_that_is_under_way_and_nothing_after_it(bench: AddressesBench) -> None:
    bench.kernel.free.clear()
    bench.addresses.renew(2, bench.renewed.append)
    bench.loop.until(bench.kernel.asked.is_set)
    Timer(0.05, bench.kernel.free.set).start()
    bench.addresses.remove()
    bench.loop.a_while()
    assert bench.kernel.done == ["lease of 2 s on 7", "renewed", "released"]


def test_a_release_does_not_wait_for_a_renewal_that_was_not_begun_and_is_not_done(bench: AddressesBench) -> None:
    bench.kernel.free.clear()
    bench.renewer.renew(cast(Lease, FakeLease(bench.kernel)), bench.renewed.append)
    bench.loop.until(bench.kernel.asked.is_set)
    bench.addresses.renew(2, bench.renewed.append)
    bench.addresses.remove()
    assert bench.kernel.done == ["lease of 2 s on 7", "released"]
    bench.kernel.free.set()
    bench.loop.until(lambda: bench.renewed == [None])
    bench.loop.a_while()
    assert bench.kernel.done == ["lease of 2 s on 7", "released", "renewed"]


def test_a_renewal_that_was_not_begun_is_answered_though_an_address_goes_meanwhile(
    bench: AddressesBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else the member would wait for its outcome, and renew no more.
    monkeypatch.setattr(FakeLease, "rearranges", False)
    bench.kernel.free.set()
    bench.addresses.renew(2, bench.renewed.append)
    bench.addresses.configure(group_config(str(VIP)))
    bench.loop.until(lambda: len(bench.renewed) == 1)
    assert bench.kernel.done[-1] == "released"


def test_without_an_interface_a_renewal_is_not_begun(bench: AddressesBench) -> None:
    bench.kernel.link = None
    with pytest.raises(OSError, match="interface eth7 is not there"):
        bench.addresses.renew(2, bench.renewed.append)


def test_lost_are_those_of_ours_where_it_holds_them(bench: AddressesBench) -> None:
    assert bench.addresses.lost({VIP}) == set()
    bench.addresses.add(2, UNTIL)
    assert bench.addresses.lost({VIP, OTHER, ip_address("192.0.2.1")}) == {VIP, OTHER}
