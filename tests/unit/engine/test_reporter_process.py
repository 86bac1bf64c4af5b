"""What a reporter is told, as one that writes it down sees it."""

import asyncio
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from carpsidecar.engine import reporter_process
from carpsidecar.messages import KubernetesSettings, ReporterSettings, decode_for_reporter

SETTINGS = ReporterSettings(
    software="1",
    log_format="text",
    log_level="info",
    http="127.0.0.1:9112",
    kubernetes=KubernetesSettings(pod_name="carp-1", pod_namespace="infra"),
)
WRITE_DOWN = """
import os, socket, sys
connection = socket.socket(fileno=int(sys.argv[1]))
with open(os.path.join(sys.argv[2], str(os.getpid())), "wb") as file:
    while data := connection.recv(1 << 17):
        file.write(data + b"\\n")
        file.flush()
"""


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (replace(SETTINGS, http=""), replace(SETTINGS, http="")),
        (None, replace(SETTINGS, http="", kubernetes=None)),
    ],
)
def test_one_that_is_replaced_is_told_by_what(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, after: ReporterSettings | None, told: ReporterSettings
) -> None:
    def command(descriptor: int) -> list[str]:
        return [sys.executable, "-c", WRITE_DOWN, str(descriptor), str(tmp_path)]

    monkeypatch.setattr(reporter_process, "_command", command)

    async def replaced() -> None:
        process = reporter_process.ReporterProcess(
            asyncio.get_running_loop(), SETTINGS, lambda wish: None, lambda: ()
        )
        process.start()
        try:
            process.reconfigure(after)
            async with asyncio.timeout(10):
                while not process.gone:
                    await asyncio.sleep(0.01)
        finally:
            process.stop()
            process.close()

    asyncio.run(replaced())
    [first] = tmp_path.iterdir()
    assert [decode_for_reporter(line) for line in first.read_bytes().splitlines()] == [SETTINGS, told]
