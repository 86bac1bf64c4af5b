"""The reporter's end of the socket pair to the engine."""

import asyncio
import socket
from collections.abc import Callable, Hashable

from carpsidecar.ipc.messages import (
    MESSAGE_SIZE_MAX,
    BadMessage,
    Promote,
    SetDemotion,
    StepDown,
    ToEngine,
    ToReporter,
    decode_for_reporter,
    encode,
)


class Pipe:
    """Hands over what the engine tells, and asks it for things; of what it can't take yet, the newest is kept."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
        self._loop = loop
        self._connection = connection
        self._kept: dict[Hashable, bytes] = {}
        self._open = True
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MESSAGE_SIZE_MAX)

    def ask(self, command: ToEngine) -> None:
        """From any thread."""
        self._loop.call_soon_threadsafe(self._ask, command)

    async def read(self, told: Callable[[ToReporter], None], bad: Callable[[], None]) -> None:
        """Hand over every message until the engine is gone; `bad` is called for one that can't be read."""
        while data := await self._receive():
            try:
                message = decode_for_reporter(data)
            except BadMessage:
                bad()
            else:
                told(message)

    async def first(self, within_s: float) -> ToReporter | None:
        """The first message; None where it can't be read, or does not come in time."""
        try:
            return decode_for_reporter(await asyncio.wait_for(self._receive(), within_s))
        except (BadMessage, TimeoutError):
            return None

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_writer(self._connection.fileno())
            self._connection.close()

    async def _receive(self) -> bytes:
        try:
            return await self._loop.sock_recv(self._connection, MESSAGE_SIZE_MAX + 1)
        except ConnectionError:
            return b""

    def _ask(self, command: ToEngine) -> None:
        key = _subject(command)
        self._kept.pop(key, None)
        self._kept[key] = encode(command)
        self._flush()

    def _flush(self) -> None:
        while self._kept and self._open:
            key, data = next(iter(self._kept.items()))
            try:
                self._connection.send(data)
            except BlockingIOError:
                self._loop.add_writer(self._connection.fileno(), self._writable)
                return
            except OSError:
                # The engine is gone, and `read` says so.
                return
            del self._kept[key]

    def _writable(self) -> None:
        self._loop.remove_writer(self._connection.fileno())
        self._flush()


def _subject(command: ToEngine) -> Hashable:
    """Of two commandes about one subject only the newer counts."""
    if isinstance(command, SetDemotion):
        return SetDemotion, command.cause, command.group
    if isinstance(command, StepDown | Promote):
        return type(command), command.group
    return type(command)
