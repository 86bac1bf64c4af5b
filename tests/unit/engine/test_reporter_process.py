"""Keeping a reporter: what it is sent, what follows its end, and what the engine's children inherit."""

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import cast

import pytest
from msgspec.structs import replace

from carpsidecar.engine import reporter_process, starter
from carpsidecar.engine.control_socket import ControlSocket
from carpsidecar.engine.reporter import Setup
from carpsidecar.engine.reporter_process import ReporterProcess
from carpsidecar.ipc.messages import MESSAGE_SIZE_MAX, Result, ToEngine, ToReporter, decode_for_reporter
from carpsidecar.ipc.settings import KubernetesSettings, ReporterSettings
from tests.support.builders import snapshot
from tests.support.logs import Logged
from tests.support.waits import SOON_S

SETTINGS = ReporterSettings(
    software="1",
    log_format="text",
    log_level="info",
    http="127.0.0.1:9112",
    kubernetes=KubernetesSettings(pod_name="carp-1", pod_namespace="infra"),
)
NO_CONTROL = cast(ControlSocket, SimpleNamespace(listening=None))


def ignore(command: ToEngine, answer: Callable[[Result], object]) -> None:
    """A command that there is not."""


class FakeStarter:
    """Keeps the reporters' ends of the socket pairs; `failure` is raised instead of starting one."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, parts: list[str], ended: Callable[[int | None], None]
    ) -> None:
        self.parts = parts
        self.ended = ended
        self.started: list[socket.socket] = []
        self.failure: OSError | None = None
        self.killed = 0

    def launch(self) -> None:
        if self.failure is not None:
            raise self.failure

    def start(self, connection: socket.socket) -> None:
        self.launch()
        self.started.append(connection.dup())

    def kill(self) -> None:
        self.killed += 1

    def close(self) -> None:
        for connection in self.started:
            connection.close()


class ReporterProcessBench:
    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.process = ReporterProcess(Setup(loop, SETTINGS, ignore, lambda: [snapshot()], NO_CONTROL))
        self.starter = cast(FakeStarter, self.process._starter)

    def received(self) -> list[ToReporter]:
        """By the newest reporter, until now or until its end."""
        connection = self.starter.started[-1]
        connection.setblocking(False)
        messages = []
        try:
            while data := connection.recv(MESSAGE_SIZE_MAX):
                messages.append(decode_for_reporter(data))
        except BlockingIOError:
            pass
        return messages

    async def until(self, wanted: Callable[[], bool]) -> None:
        async with asyncio.timeout(SOON_S):
            while not wanted():
                await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporter_process, "Starter", FakeStarter)
    monkeypatch.setattr(reporter_process, "RESTART_MIN_S", 0.01)


def run(test: Callable[[ReporterProcessBench], Awaitable[None]]) -> None:
    async def body() -> None:
        bench = ReporterProcessBench()
        try:
            await test(bench)
        finally:
            bench.process.close()

    asyncio.run(body())


def test_a_new_one_is_sent_its_settings_and_then_all_groups() -> None:
    async def test(bench: ReporterProcessBench) -> None:
        assert bench.starter.parts == ["http", "kubernetes"]
        bench.process.start()
        assert bench.received() == [SETTINGS, snapshot()]

    run(test)


def test_one_that_is_replaced_learns_by_what_and_the_next_one_starts_when_it_has_ended() -> None:
    after = replace(SETTINGS, http="")

    async def test(bench: ReporterProcessBench) -> None:
        bench.process.start()
        bench.process.reconfigure(after)
        assert bench.received() == [SETTINGS, snapshot(), after]
        assert len(bench.starter.started) == 1
        bench.starter.ended(0)
        await bench.until(lambda: len(bench.starter.started) == 2)
        assert bench.received() == [after, snapshot()]

    run(test)


@pytest.mark.parametrize(
    ("status", "how"), [(-9, "signal SIGKILL"), (1, "exit status 1"), (None, "with its starter")]
)
def test_one_that_ends_is_started_again(status: int | None, how: str, logged: Logged) -> None:
    async def test(bench: ReporterProcessBench) -> None:
        bench.process.start()
        bench.starter.ended(status)
        await bench.until(lambda: len(bench.starter.started) == 2)
        assert logged.lines == [f"the reporter ended ({how}): it is started again"]

    run(test)


def test_one_that_can_not_be_started_is_logged_once_and_tried_again(logged: Logged) -> None:
    async def test(bench: ReporterProcessBench) -> None:
        bench.starter.failure = OSError(errno.EMFILE, "Too many open files")
        bench.process.prepare()
        bench.process.start()
        await asyncio.sleep(0.1)
        assert logged.lines == ["the reporter can't be started: Too many open files; tried again"]
        bench.starter.failure = None
        await bench.until(lambda: bool(bench.starter.started))

    run(test)


def test_at_the_end_it_waits_for_the_last_one_and_kills_one_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporter_process, "STOP_MAX_S", 0.01)

    async def test(bench: ReporterProcessBench) -> None:
        stopped = asyncio.Event()
        bench.process.start()
        bench.process.stop(stopped.set)
        assert not stopped.is_set()
        await bench.until(lambda: bench.starter.killed == 1)
        bench.starter.ended(-9)
        assert stopped.is_set()
        await asyncio.sleep(0.05)
        assert len(bench.starter.started) == 1

    run(test)


def test_where_none_runs_the_end_is_at_once() -> None:
    async def test(bench: ReporterProcessBench) -> None:
        stopped = asyncio.Event()
        bench.process.stop(stopped.set)
        assert stopped.is_set()

    run(test)


def test_of_the_environment_a_reporter_gets_only_what_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "CARP_PASSPHRASE": "secret",
        "CREDENTIALS_DIRECTORY": "/run/credentials/x",
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "DATABASE_PASSWORD": "secret",
        "PATH": "/usr/bin",
        "LC_ALL": "C.UTF-8",
        "KUBERNETES_SERVICE_HOST": "10.96.0.1",
    }
    monkeypatch.setattr("os.environ", given)
    assert starter.environment() == {
        "PATH": "/usr/bin",
        "LC_ALL": "C.UTF-8",
        "KUBERNETES_SERVICE_HOST": "10.96.0.1",
    }
