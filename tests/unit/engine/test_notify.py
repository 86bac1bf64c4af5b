"""Telling systemd: the datagrams of sd_notify(3), at a real socket."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from carpsidecar.engine.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """The service manager's end, of both kinds of address that it may have."""
    abstract = request.param == "abstract"
    address = f"\0carpsidecar-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", address.replace("\0", "@"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(5)
        yield manager


def test_each_word_is_a_datagram(manager: socket.socket) -> None:
    notifier = Notifier()
    notifier.ready()
    notifier.status("web: master (no advertisement from the master)")
    notifier.alive()
    notifier.stopping()
    assert [manager.recv(1000) for _ in range(4)] == [
        b"READY=1",
        b"STATUS=web: master (no advertisement from the master)",
        b"WATCHDOG=1",
        b"STOPPING=1",
    ]


def test_a_reload_says_when_it_began(manager: socket.socket) -> None:
    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    Notifier().reloading()
    first, second = manager.recv(1000).decode().split("\n")
    assert first == "RELOADING=1"
    name, _, value = second.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before_us <= int(value) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_a_manager_that_does_not_read_holds_up_nobody(manager: socket.socket) -> None:
    notifier = Notifier()
    for _ in range(1000):
        notifier.alive()
    manager.setblocking(False)
    assert manager.recv(1000) == b"WATCHDOG=1"


def test_a_manager_that_has_gone_disturbs_nobody(manager: socket.socket) -> None:
    notifier = Notifier()
    manager.close()
    notifier.ready()
    notifier.stopping()


def test_without_a_manager_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for address in (None, "", "/nowhere/to/be/found"):
        if address is None:
            monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
        else:
            monkeypatch.setenv("NOTIFY_SOCKET", address)
        Notifier().ready()


@pytest.mark.parametrize(
    ("timeout_us", "pid", "interval_s"),
    [
        ("30000000", None, 15.0),
        ("1000", "ours", 0.0005),
        ("30000000", "1", None),
        ("0", None, None),
        ("", None, None),
        (None, None, None),
        ("soon", None, None),
        ("-5", None, None),
    ],
)
def test_the_watchdog_is_answered_twice_as_often_as_it_asks(
    monkeypatch: pytest.MonkeyPatch, timeout_us: str | None, pid: str | None, interval_s: float | None
) -> None:
    for name, value in (
        ("WATCHDOG_USEC", timeout_us),
        ("WATCHDOG_PID", str(os.getpid()) if pid == "ours" else pid),
    ):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert Notifier().watchdog_interval_s == interval_s
