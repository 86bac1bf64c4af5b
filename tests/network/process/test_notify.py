"""What systemd is told of a running process."""

import contextlib
import re
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from carpsidecar.lab.namespace import run_in
from carpsidecar.lab.node import Node
from carpsidecar.protocol.packet import CARP_PROTOCOL
from tests.support.daemon import GROUP, Configuration, group, script, send, start
from tests.support.waits import SOON_S, Delay

pytestmark = pytest.mark.network


class Manager:
    """The service manager's end: what it was told, and when."""

    def __init__(self, node: Node, address: str) -> None:
        self.socket = run_in(node.ns, lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.socket.bind(address)
        self.socket.settimeout(SOON_S)
        self.environment = {"NOTIFY_SOCKET": address.replace("\0", "@")}

    def hear(self, wanted: str) -> str:
        """The next message that begins so; others are passed over."""
        while not (message := self.socket.recv(4096).decode()).startswith(wanted):
            pass
        return message

    def hear_all(self, last: str) -> list[str]:
        """All messages up to one."""
        messages = [self.socket.recv(4096).decode()]
        while messages[-1] != last:
            messages.append(self.socket.recv(4096).decode())
        return messages


@pytest.fixture
def manager(request: pytest.FixtureRequest, node: Node, tmp_path: Path) -> Iterator[Manager]:
    """Its socket has a path, or where the test asks for it an abstract name."""
    abstract = getattr(request, "param", "path") == "abstract"
    manager = Manager(node, "\0carpsidecar-test" if abstract else str(tmp_path / "notify"))
    yield manager
    manager.socket.close()


@pytest.mark.parametrize("manager", ["path", "abstract"], indirect=True)
def test_a_life_is_reported_from_ready_to_stopping(node: Node, manager: Manager, tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, group())
    engine = start(node, configuration, env=manager.environment)
    *before, _ready = manager.hear_all("READY=1")
    assert set(before) == {f"STATUS={GROUP}: backup (started)"}
    # Ready is one that hears: the socket for CARP is open.
    assert f":{CARP_PROTOCOL:04X} " in Path(f"/proc/{engine.pid}/net/raw").read_text()
    assert manager.hear("STATUS") == f"STATUS={GROUP}: master (no advertisement from the master)"
    before_us = time.monotonic_ns() // 1000
    send(engine, signal.SIGHUP)
    reloading = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", manager.hear("RELOADING"))
    assert reloading is not None
    assert before_us <= int(reloading[1]) <= time.monotonic_ns() // 1000
    manager.hear("READY=1")
    configuration.path.write_text("broken")
    send(engine, signal.SIGHUP)
    manager.hear("RELOADING")
    manager.hear("READY=1")
    send(engine, signal.SIGTERM)
    manager.hear("STOPPING=1")
    assert manager.hear("STATUS") == f"STATUS={GROUP}: init (stopped)"
    assert engine.wait(SOON_S) == 0


def test_the_watchdog_hears_from_us_at_half_its_time(node: Node, manager: Manager, tmp_path: Path) -> None:
    environment = {**manager.environment, "WATCHDOG_USEC": "400000"}
    engine = start(node, Configuration(tmp_path, group()), env=environment)
    manager.hear("READY=1")
    delay = Delay(engine)
    times = []
    for _ in range(5):
        manager.hear("WATCHDOG=1")
        times.append(time.monotonic())
    average_s = (times[-1] - times[0]) / 4
    assert 0.15 - delay.s < average_s < 0.3 + delay.s
    engine.hang()
    after_hang = time.monotonic()
    manager.socket.settimeout(0.6)
    with contextlib.suppress(TimeoutError):
        while time.monotonic() - after_hang < SOON_S:
            manager.hear("WATCHDOG=1")
    assert time.monotonic() - after_hang < 2 + delay.s, "something else speaks for a process that hangs"
    engine.resume()
    manager.socket.settimeout(SOON_S)
    manager.hear("WATCHDOG=1")


def test_another_process_s_watchdog_is_none_of_ours(node: Node, manager: Manager, tmp_path: Path) -> None:
    environment = {**manager.environment, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}
    engine = start(node, Configuration(tmp_path, group()), env=environment)
    manager.hear("STATUS=vhid-100: master")
    send(engine, signal.SIGTERM)
    assert not any(message.startswith("WATCHDOG") for message in manager.hear_all("STOPPING=1"))


def test_nothing_but_the_last_state_is_reported_after_stopping(
    node: Node, manager: Manager, tmp_path: Path
) -> None:
    slow = script(tmp_path, "slow", 'test "$CARP_REASON" = started || { echo TOLD; sleep 0.5; }')
    configuration = Configuration(tmp_path, group(on_master="/bin/true", on_backup=slow))
    engine = start(node, configuration, env=manager.environment)
    engine.wait_for("became master", SOON_S)
    send(engine, signal.SIGTERM)
    manager.hear("STOPPING=1")
    engine.wait_for("TOLD", SOON_S)
    send(engine, signal.SIGHUP)
    assert engine.wait(SOON_S) == 0
    manager.socket.setblocking(False)
    assert manager.hear("STATUS") == f"STATUS={GROUP}: init (stopped)"
    with pytest.raises(BlockingIOError):
        manager.hear("R")


@pytest.mark.skipif(shutil.which("systemd-notify") is None, reason="systemd-notify is not installed")
def test_a_hook_can_find_the_service_manager_too(node: Node, tmp_path: Path) -> None:
    manager = Manager(node, str(tmp_path / "notify"))
    hook = script(tmp_path, "hook", "exec systemd-notify 'X_HOOK=1'")
    start(node, Configuration(tmp_path, group(on_backup=hook)), env=manager.environment)
    assert "X_HOOK=1" in manager.hear("X_HOOK")
    manager.socket.close()
