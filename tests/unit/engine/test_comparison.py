"""What the kernel holds is asked for beside the loop: groups may be something else when the answer comes."""

import errno
from concurrent.futures import Executor, Future
from ipaddress import ip_address
from typing import Any, cast

import pytest

from carpsidecar.engine import comparison as module
from carpsidecar.engine.comparison import EVERY_S, Comparison
from carpsidecar.engine.interface import Interface
from carpsidecar.linux.netlink import IPAddress
from tests.unit.engine.loops import Loop

VIP = ip_address("192.0.2.100")


class Kernel(Executor):
    """It answers when it is told to."""

    def __init__(self) -> None:
        self.answers: list[Future[Any]] = []

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        self.answers.append(Future())
        return self.answers[-1]

    def held(self) -> None: ...

    def close(self) -> None: ...


class Group:
    started = True

    def __init__(self) -> None:
        self.since_s = 1.0
        self.interface = cast(Interface, self)
        self.link = self
        self.index = 7
        self.found: list[set[IPAddress]] = []

    def addresses_found(self, there: set[IPAddress]) -> None:
        self.found.append(there)


class Bench:
    def __init__(self, loop: Loop) -> None:
        self.loop, self.kernel, self.group = loop, Kernel(), Group()
        self.comparison = Comparison(loop.asyncio, self.kernel, {"web": self.group})

    def answer(self, found: dict[int, set[IPAddress]]) -> None:
        self.kernel.answers[-1].set_result(found)
        self.loop.a_while(0)


@pytest.fixture
def bench(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(module, "Netlink", Kernel)
    bench = Bench(loop)
    bench.comparison.now_and_again()
    return bench


def test_a_group_hears_what_its_interface_holds(bench: Bench) -> None:
    bench.answer({7: {VIP}, 8: set()})
    assert bench.group.found == [{VIP}]


def test_who_became_something_else_meanwhile_hears_nothing(bench: Bench) -> None:
    bench.group.since_s = 2.0
    bench.answer({7: {VIP}})
    assert bench.group.found == []


def test_a_kernel_that_is_slow_is_asked_once(bench: Bench) -> None:
    bench.comparison._compared_at -= EVERY_S
    bench.comparison.now_and_again()
    assert len(bench.kernel.answers) == 1
    bench.answer({})
    bench.comparison._compared_at -= EVERY_S
    bench.comparison.now_and_again()
    assert len(bench.kernel.answers) == 2


def test_what_could_not_be_read_is_read_next_time(bench: Bench) -> None:
    bench.kernel.answers[-1].set_exception(OSError(errno.EBUSY, "changed"))
    bench.loop.a_while(0)
    assert bench.group.found == []
    bench.comparison._compared_at -= EVERY_S
    bench.comparison.now_and_again()
    bench.answer({7: {VIP}})
    assert bench.group.found == [{VIP}]
