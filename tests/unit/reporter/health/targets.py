"""What is checked: services that behave, and others."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

from carpsidecar.ipc.settings import Check
from carpsidecar.reporter.health.attempt import attempt_for
from tests.support.waits import SOON_S


def check(
    name: str = "db",
    kind: Literal["http", "tcp", "command"] = "command",
    *target: str,
    interval_s: float = 0.0,
    timeout_s: float = 5.0,
    rise: int = 1,
    fall: int = 3,
    demotion: int = 240,
    group: str | None = None,
) -> Check:
    return Check(
        name=name,
        kind=kind,
        target=list(target),
        interval_s=interval_s,
        timeout_s=timeout_s,
        rise=rise,
        fall=fall,
        demotion=demotion,
        group=group,
    )


async def until(wanted: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON_S):
        while not wanted():
            await asyncio.sleep(0.005)


async def attempt(kind: Literal["http", "tcp", "command"], *target: str) -> str | None:
    """The result of one run."""
    async with asyncio.timeout(SOON_S):
        return await attempt_for(check("x", kind, *target))()


@asynccontextmanager
async def answering(data: bytes, heard: list[bytes] | None = None) -> AsyncIterator[int]:
    """A port where each client gets this, whatever it says, and is then hung up on."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.read(4096)
        if heard is not None:
            heard.append(request)
        writer.write(data)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
