"""Addresses of Services by command: in slices, the newest counts, at a bounded rate, and each is answered once."""

import os
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from carpsidecar.config.group import GroupConfig
from carpsidecar.config.load_balancer import ServiceAddresses as Configured
from carpsidecar.config.load_balancer import resolve_load_balancer
from carpsidecar.config.schema import Given
from carpsidecar.engine.service_addresses import BURST, PER_S, TRY_AGAIN_S, ServiceAddresses
from carpsidecar.engine.service_file import path, read, write
from carpsidecar.engine.startup import StartError
from carpsidecar.ipc.messages import GroupGone, GroupSnapshot, KeepServiceAddresses, Result, SetServiceAddress


class Loop:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 100.0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def time(self) -> float:
        return self.now

    def call_later(self, after_s: float, call: Callable[..., None], *arguments: Any) -> Any:
        self._count += 1
        timer = (self.now + after_s, self._count, lambda: call(*arguments))
        self._timers.append(timer)
        return SimpleNamespace(cancel=lambda: self._timers.remove(timer) if timer in self._timers else None)

    def call_soon_threadsafe(self, call: Callable[..., None], *arguments: Any) -> None: ...

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [timer for timer in self._timers if timer[0] <= end]:
            timer = min(due)
            self._timers.remove(timer)
            self.now = max(self.now, timer[0])
            timer[2]()
        self.now = end


class FakeGroup:
    def __init__(self, config: GroupConfig, command: SetServiceAddress) -> None:
        self.configured = config
        self.served = [command]

    def serve(self, command: SetServiceAddress) -> None:
        self.served.append(command)


class Engine:
    """In the place of the real one; `costs_s` passes on the clock while a group is added."""

    def __init__(self, loop: Loop) -> None:
        self.groups: dict[str, FakeGroup] = {}
        self.history: list[str] = []
        self.costs_s = 0.0
        self.failure = ""
        self._loop = loop

    def open_services(self, configured: Configured) -> None: ...

    def network_of(self, address: object) -> str | None:
        return "eth0"

    def add_service_group(self, config: GroupConfig, command: SetServiceAddress) -> FakeGroup:
        if self.failure:
            raise StartError(self.failure)
        self._loop.now += self.costs_s
        assert config.name not in self.groups
        group = self.groups[config.name] = FakeGroup(config, command)
        self.history.append(f"+{config.addresses[0].ip}")
        return group

    def reconfigure_group(self, group: FakeGroup, config: GroupConfig) -> None:
        group.configured = config

    def remove_service_group(self, group: FakeGroup) -> None:
        del self.groups[group.configured.name]
        self.history.append(f"-{group.configured.addresses[0].ip}")


class Bench:
    def __init__(self) -> None:
        self.loop = Loop()
        self.engine = Engine(self.loop)
        self.reported: list[GroupSnapshot | GroupGone] = []
        loop, engine = self.loop, self.engine
        self.services = ServiceAddresses(loop, engine, self.reported.append)  # type: ignore[arg-type]
        self.results: dict[int, Result] = {}
        self._id = 0

    def send(self, command: Any) -> int:
        self._id += 1
        command = replace(command, id=self._id)
        assert self.services.refusal(command) == ""
        self.services.handle(command, self._answer)
        return self._id

    def set(self, last: int, **changes: Any) -> int:
        given = {"vhid": 1000 + last, "advskew": 4, "services": ["a/b"], **changes}
        return self.send(SetServiceAddress(address=f"192.0.2.{last}", **given))

    def _answer(self, result: Result) -> None:
        assert result.id not in self.results, "exactly one result"
        self.results[result.id] = result

    @property
    def outcomes(self) -> list[str]:
        return [self.results[number].outcome for number in sorted(self.results)]


def configured(*ranges: str, **changes: Any) -> Configured:
    content = {"pools": [{"name": "a", "addresses": list(ranges or ("192.0.2.0/24",))}], **changes}
    return resolve_load_balancer(Given(content, "x"), {"passphrase": Given("secret", "x")})[0]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    made = Bench()
    made.services.configure(configured())
    return made


def test_hundreds_at_once_are_done_in_slices_and_all_answered(bench: Bench) -> None:
    bench.engine.costs_s = 0.002
    for last in range(1, 201):
        bench.set(last)
    bench.loop.run(0.02)
    assert 0 < len(bench.engine.groups) < 50
    bench.loop.run(2.0)
    assert len(bench.engine.groups) == 200
    assert bench.outcomes == ["done"] * 200


def test_what_is_as_it_was_is_done_and_costs_nothing(bench: Bench) -> None:
    for _ in range(100):
        bench.set(7)
        bench.loop.run(0.01)
    assert bench.outcomes == ["done"] * 100
    assert bench.engine.history == ["+192.0.2.7"]
    assert len(bench.engine.groups["lb-1007"].served) == 1


def test_changes_of_one_come_at_a_bounded_rate_and_the_newest_counts(bench: Bench) -> None:
    for advskew in range(100):
        bench.set(7, advskew=advskew)
        bench.loop.run(0.05)
    served = bench.engine.groups["lb-1007"].served
    assert len(served) <= BURST + PER_S * 5 + 1
    bench.loop.run(3.0)
    assert served[-1].advskew == 99
    assert len(bench.results) == 100
    assert set(bench.outcomes) == {"done", "superseded"}


def test_one_that_waits_keeps_no_other_waiting(bench: Bench) -> None:
    for advskew in range(10):
        bench.set(7, advskew=advskew)
        bench.loop.run(0.02)
    other = bench.set(8)
    bench.loop.run(0.02)
    assert bench.results[other].outcome == "done"


def test_coming_and_going_is_bounded_as_well(bench: Bench) -> None:
    for _ in range(50):
        bench.set(7)
        bench.loop.run(0.02)
        bench.send(KeepServiceAddresses(addresses=[]))
        bench.loop.run(0.02)
    assert bench.engine.history.count("+192.0.2.7") <= BURST + PER_S * 2 + 1
    assert len(bench.results) == 100
    assert bench.engine.groups == {}


def test_a_vhid_that_goes_to_another_address_is_free_before(bench: Bench) -> None:
    bench.set(7)
    bench.loop.run(0.1)
    bench.set(8)
    bench.set(8, vhid=1007)
    bench.loop.run(0.1)
    assert bench.engine.history == ["+192.0.2.7", "-192.0.2.7", "+192.0.2.8"]
    assert bench.engine.groups.keys() == {"lb-1007"}


def test_two_that_swap_their_vhids_both_end_as_the_last_command_has_it(bench: Bench) -> None:
    bench.set(7)
    bench.set(8)
    bench.loop.run(0.1)
    bench.set(7, vhid=1008)
    bench.set(8, vhid=1007)
    bench.loop.run(0.1)
    addresses = {name: str(group.configured.addresses[0].ip) for name, group in bench.engine.groups.items()}
    assert addresses == {"lb-1008": "192.0.2.7", "lb-1007": "192.0.2.8"}


def test_what_cant_be_served_yet_is_reported_and_tried_again(bench: Bench) -> None:
    bench.engine.failure = "no such network: bring it up"
    number = bench.set(7)
    bench.loop.run(0.1)
    assert (bench.results[number].outcome, bench.results[number].reason) == ("done", bench.engine.failure)
    [waiting] = bench.services.waiting
    assert (waiting.group, waiting.role, waiting.services) == ("lb-1007", "init", ["a/b"])
    assert bench.reported == [waiting]
    bench.loop.run(3 * TRY_AGAIN_S)
    assert bench.reported == [waiting], "nothing is new"
    bench.engine.failure = ""
    bench.loop.run(TRY_AGAIN_S + 0.1)
    assert bench.engine.groups.keys() == {"lb-1007"}
    assert list(bench.services.waiting) == []


def test_what_waited_and_goes_is_gone(bench: Bench) -> None:
    bench.engine.failure = "no such network: bring it up"
    bench.set(7)
    bench.loop.run(0.1)
    bench.send(KeepServiceAddresses(addresses=[]))
    bench.loop.run(0.1)
    assert bench.reported[-1] == GroupGone(group="lb-1007")


def test_other_pools_drop_what_lies_in_none_and_keep_the_rest(bench: Bench) -> None:
    for last in (7, 8):
        bench.set(last)
    bench.loop.run(0.1)
    bench.services.configure(configured("192.0.2.8", "192.0.2.100-192.0.2.110"))
    bench.loop.run(0.1)
    assert bench.engine.history == ["+192.0.2.7", "+192.0.2.8", "-192.0.2.7"]
    bench.services.configure(None)
    bench.loop.run(0.1)
    assert bench.engine.groups == {}


def test_what_is_stored_is_what_may_be_served_still(bench: Bench, tmp_path: Path) -> None:
    commands = [
        SetServiceAddress(address=address, vhid=vhid, advskew=0, services=["a/b"])
        for address, vhid in (("192.0.2.7", 1007), ("198.51.100.1", 1008), ("192.0.2.9", 7), ("x", 1009))
    ]
    write(path(), commands)
    assert read(path()) == commands
    later = Bench()
    later.services.configure(configured())
    later.loop.run(0.1)
    assert later.engine.groups.keys() == {"lb-1007"}


def test_the_last_word_is_stored_at_the_end(bench: Bench) -> None:
    bench.set(7)
    bench.loop.run(0.1)
    bench.services.close()
    assert [command.address for command in read(path())] == ["192.0.2.7"]


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "much"])
def test_what_is_no_file_of_ours_is_not_read(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "x"
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "link":
        file.symlink_to("/etc/passwd")
    else:
        file.write_bytes(b" " * (4 << 20) + b"[]")
    with pytest.raises(OSError, match=str(file)):
        read(file)


def test_an_address_is_the_same_however_it_is_written(bench: Bench) -> None:
    bench.services.configure(configured("2001:db8::/64"))
    bench.send(SetServiceAddress(address="2001:DB8:0::7", vhid=1000, advskew=0, services=["a/b"]))
    bench.loop.run(0.1)
    bench.send(KeepServiceAddresses(addresses=["2001:db8::7"]))
    bench.loop.run(0.1)
    assert bench.engine.groups["lb-1000"].configured.addresses[0].ip == ip_address("2001:db8::7")
