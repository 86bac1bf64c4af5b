"""The engine's end of the socket pair to the reporter.

It never waits: where the reporter is slow, the newest snapshot of each group is kept, and all else is left out.
"""

import asyncio
import errno
import socket
from collections.abc import Callable
from logging import WARNING

from carpsidecar.ipc.messages import (
    MESSAGE_SIZE_MAX,
    BadMessage,
    GroupGone,
    GroupSnapshot,
    Heartbeat,
    Notice,
    ReporterSettings,
    ToEngine,
    decode_for_engine,
    encode,
)
from carpsidecar.logs import log

_READ_LIMIT = 32


class Pipe:
    """Sends what the reporter is to know, and hands over what it asks for."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connection: socket.socket, asked: Callable[[ToEngine], None]
    ) -> None:
        self._loop = loop
        self._connection = connection
        self._asked = asked
        self._kept: dict[str, bytes] = {}
        self.bad_messages = 0
        self._open = True
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MESSAGE_SIZE_MAX)
        loop.add_reader(connection.fileno(), self._readable)

    def send_group(self, message: GroupSnapshot | GroupGone) -> None:
        # Taken out first, so that the newest also is the last in line.
        self._kept.pop(message.group, None)
        self._kept[message.group] = encode(message)
        self._flush()

    def send_now(self, message: ReporterSettings | Heartbeat | Notice) -> None:
        """Or not at all."""
        if not self._kept and self._open:
            self._send(encode(message))

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._connection.fileno())
            self._loop.remove_writer(self._connection.fileno())
            self._connection.close()

    def _flush(self) -> None:
        while self._kept and self._open:
            group, data = next(iter(self._kept.items()))
            if not self._send(data):
                return
            del self._kept[group]

    def _send(self, data: bytes) -> bool:
        try:
            self._connection.send(data)
        except BlockingIOError:
            self._loop.add_writer(self._connection.fileno(), self._writable)
            return False
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                # Not the reporter's fault: it goes without this one.
                self.bad_messages += 1
                return True
            self._lost(error.strerror or str(error))
            return False
        return True

    def _writable(self) -> None:
        self._loop.remove_writer(self._connection.fileno())
        self._flush()

    def _readable(self) -> None:
        for _ in range(_READ_LIMIT):
            try:
                data = self._connection.recv(MESSAGE_SIZE_MAX + 1)
            except BlockingIOError:
                return
            except OSError as error:
                self._lost(error.strerror or str(error))
                return
            if not data:
                self._lost("it closed its end")
                return
            try:
                message = decode_for_engine(data)
            except BadMessage:
                self.bad_messages += 1
            else:
                self._asked(message)
                if not self._open:
                    # The answer found nobody there.
                    return

    def _lost(self, why: str) -> None:
        log(WARNING, "reporter_lost", f"the reporter is gone: {why}")
        self.close()
