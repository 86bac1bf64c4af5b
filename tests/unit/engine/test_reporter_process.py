"""What a reporter is told, as one that writes it down sees it."""

import asyncio
import errno
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from carpsidecar.engine import reporter_process
from carpsidecar.ipc.messages import KubernetesSettings, ReporterSettings, Result, ToEngine, decode_for_reporter
from tests.support.logs import Logged

SETTINGS = ReporterSettings(
    software="1",
    log_format="text",
    log_level="info",
    http="127.0.0.1:9112",
    kubernetes=KubernetesSettings(pod_name="carp-1", pod_namespace="infra"),
)


def ignore(command: ToEngine, answer: Callable[[Result], object]) -> None:
    """A command that there is not."""


WRITE_DOWN = """
import os, socket, sys
connection = socket.socket(fileno=int(sys.argv[1]))
with open(os.path.join(sys.argv[2], str(os.getpid())), "wb") as file:
    while data := connection.recv(1 << 17):
        file.write(data + b"\\n")
        file.flush()
"""


def test_one_that_is_replaced_is_told_by_what(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    after = replace(SETTINGS, http="")

    def command(descriptor: int) -> list[str]:
        return [sys.executable, "-c", WRITE_DOWN, str(descriptor), str(tmp_path)]

    monkeypatch.setattr(reporter_process, "_command", command)

    async def replaced() -> None:
        process = reporter_process.ReporterProcess(asyncio.get_running_loop(), SETTINGS, ignore, lambda: ())
        process.start()
        try:
            process.reconfigure(after)
            async with asyncio.timeout(10):
                while not process.gone:
                    await asyncio.sleep(0.01)
        finally:
            process.stop(lambda: None)
            process.close()

    asyncio.run(replaced())
    [first] = tmp_path.iterdir()
    assert [decode_for_reporter(line) for line in first.read_bytes().splitlines()] == [SETTINGS, after]


def test_one_whose_end_could_not_be_told_is_not_left_running(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, logged: Logged
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Popen(subprocess.Popen[bytes]):
        def __init__(self, command: list[str], pass_fds: list[int], env: dict[str, str]) -> None:
            super().__init__([sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=pass_fds)
            started.append(self)

    def no_descriptor_left(pid: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(subprocess, "Popen", Popen)
    monkeypatch.setattr(reporter_process, "end_of", no_descriptor_left)

    async def tried() -> None:
        process = reporter_process.ReporterProcess(asyncio.get_running_loop(), SETTINGS, ignore, lambda: ())
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        process.start()
        assert process.gone
        assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
        process.stop(lambda: None)
        process.close()

    asyncio.run(tried())
    assert [process.returncode for process in started] == [-signal.SIGKILL]
    assert logged.lines == ["the reporter can't be started: Too many open files"]
