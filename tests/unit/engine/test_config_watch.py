"""A configuration that changes on disk: backups at once, a master later, and what can't be is reported."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from carpsidecar.config.sources import Config, load
from carpsidecar.engine.config_watch import MASTER_AFTER_S, POLL_S, ConfigWatch
from tests.support.logs import Logged


class Loop:
    """Time is what the tests make it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, after_s: float, called: Callable[[], None]) -> None:
        self.timers.append((self.now + after_s, called))

    def go_on(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [timer for timer in self.timers if timer[0] <= end]:
            timer = min(due, key=lambda timer: timer[0])
            self.timers.remove(timer)
            self.now = timer[0]
            timer[1]()
        self.now = end


class Pod:
    def __init__(self, folder: Path, in_turn: bool = True) -> None:
        self.loop = Loop()
        self.file, self.secret = folder / "carpsidecar.yaml", folder / "passphrase"
        self.write("vip: 192.0.2.100")
        self.secret.write_text("one")
        self.secret.chmod(0o600)
        self.config = self.read()
        self.is_master = False
        self.applied: list[Config] = []
        self.drifts: list[str] = []
        self.watch = ConfigWatch(
            cast(Any, self.loop),
            lambda: [str(self.file), str(self.secret)],
            in_turn,
            self.read,
            lambda: self.config,
            self.apply,
            lambda: self.is_master,
            self.drifts.append,
        )

    def read(self) -> Config:
        return load({}, {"CARP_PASSPHRASE_FILE": str(self.secret), "CARP_INTERFACE": "eth0"}, str(self.file))

    def apply(self) -> None:
        self.config = self.read()
        self.applied.append(self.config)

    def write(self, text: str) -> None:
        """As a kubelet does it: another file in its place."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{text}\n")
        new.replace(self.file)


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path)


def test_a_backup_takes_it_over_at_once_and_once(pod: Pod) -> None:
    pod.loop.go_on(10 * POLL_S)
    assert pod.applied == []
    pod.secret.write_text("another")
    pod.loop.go_on(POLL_S)
    pod.loop.go_on(10 * POLL_S)
    [config] = pod.applied
    assert config.groups[0].passphrase.secret == b"another"


def test_a_master_gives_the_backups_time(pod: Pod) -> None:
    pod.is_master = True
    pod.write("vip: [192.0.2.100, 192.0.2.101]\nvhid: 100")
    pod.loop.go_on(MASTER_AFTER_S)
    assert pod.applied == []
    pod.loop.go_on(2 * POLL_S)
    assert len(pod.applied) == 1


def test_one_that_is_master_no_more_need_not_wait(pod: Pod) -> None:
    pod.is_master = True
    pod.write("vip: 192.0.2.100\nadvskew: 7")
    pod.loop.go_on(2 * POLL_S)
    pod.is_master = False
    pod.loop.go_on(POLL_S)
    assert len(pod.applied) == 1


@pytest.mark.parametrize("text", ["vip: 192.0.2.100\nvhid: 7\nname: vhid-100", "vip: 192.0.2.7"])
def test_what_can_not_be_taken_over_is_reported_until_it_is_taken_back(pod: Pod, text: str, logged: Logged) -> None:
    pod.write(text)
    pod.loop.go_on(POLL_S)
    assert pod.applied == []
    assert pod.drifts[-1]
    assert logged.events == ["config_drift"]
    pod.write("vip: 192.0.2.100")
    pod.loop.go_on(POLL_S)
    assert pod.drifts[-1] == ""


def test_what_can_not_be_used_changes_nothing(pod: Pod, logged: Logged) -> None:
    pod.write("vip: nonsense")
    pod.loop.go_on(3 * POLL_S)
    assert pod.applied == []
    assert logged.events == ["reload_failed"]


def test_on_a_host_a_master_takes_it_over_at_once_too(tmp_path: Path) -> None:
    host = Pod(tmp_path, in_turn=False)
    host.is_master = True
    host.secret.write_text("another")
    host.loop.go_on(POLL_S)
    assert len(host.applied) == 1


def test_what_was_read_meanwhile_is_not_read_again(tmp_path: Path) -> None:
    host = Pod(tmp_path, in_turn=False)
    host.secret.write_text("another")
    host.watch.seen()
    host.loop.go_on(10 * POLL_S)
    assert host.applied == []
