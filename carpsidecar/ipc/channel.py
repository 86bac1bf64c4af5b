"""One end of the socket between engine and reporter.

It never waits: of what the other end can't take yet the newest message of each subject is kept, so that what waits
is bounded however slow the other end is.
"""

import asyncio
import errno
import socket
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from carpsidecar.ipc.messages import MESSAGE_SIZE_MAX, BadMessage, Message, encode, subject

_BUDGET_UNIT = 4096
_REST_UNTIL = 50.0
"""What is saved in a rest, so that the rests are few."""
_READ_LIMIT = 32
"""Messages in a row, before others have their turn."""

_In = TypeVar("_In", bound=Message)


class Budget:
    """How much may be read: `burst` at once, and `per_s` for long. A message costs 1 and its length in 4 kB."""

    def __init__(self, burst: float, per_s: float) -> None:
        self._burst = burst
        self._per_s = per_s
        self._left = burst
        self._at = float("-inf")

    def spend(self, now: float, size: int) -> float:
        """How long to rest before the next message is read."""
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now
        self._left -= 1 + size / _BUDGET_UNIT
        return max(0.0, (_REST_UNTIL - self._left) / self._per_s) if self._left < 0 else 0.0


class Channel(Generic[_In]):
    """Sends messages in order, and hands over those that come, once `resume` was called.

    Args:
        decode: raises BadMessage for one that can't be read; it is counted.
        received: called with each message.
        lost: called once, with the reason, when the other end is gone; the channel is closed then.
        unsent_max: nothing is read while more than this wait to be sent; None: reading does not depend on it.
        budget: how much may be read; None: all that comes.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: socket.socket,
        decode: Callable[[bytes], _In],
        received: Callable[[_In], object],
        lost: Callable[[str], None],
        unsent_max: int | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.bad_messages = 0
        """That came and could not be read, or were too long to be sent."""
        self._loop = loop
        self._connection = connection
        self._decode = decode
        self._received = received
        self._lost = lost
        self._unsent_max = unsent_max
        self._budget = budget
        self._rests = False
        self._unsent: dict[Hashable, tuple[Message, bytes]] = {}
        self._open = True
        self._paused = True
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MESSAGE_SIZE_MAX)

    def send(self, message: Message) -> Message | None:
        """Returns the message of the same subject that waited, and is not sent any more."""
        if not self._open:
            return None
        key = subject(message)
        if key is None:
            if not self._unsent:
                self._send(encode(message))
            return None
        # Taken out first, so that the newest also is the last in line.
        superseded, _ = self._unsent.pop(key, (None, b""))
        self._unsent[key] = message, encode(message)
        self._flush()
        return superseded

    def resume(self) -> None:
        if self._open and self._paused:
            self._paused = False
            self._read_if_drained()

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._connection.fileno())
            self._loop.remove_writer(self._connection.fileno())
            self._connection.close()

    def _flush(self) -> None:
        while self._unsent and self._open:
            key, (_, data) = next(iter(self._unsent.items()))
            if not self._send(data):
                return
            del self._unsent[key]

    def _send(self, data: bytes) -> bool:
        try:
            self._connection.send(data)
        except BlockingIOError:
            self._loop.add_writer(self._connection.fileno(), self._writable)
            return False
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                # Not the other end's fault: it goes without this one.
                self.bad_messages += 1
                return True
            self._end(error.strerror or str(error))
            return False
        return True

    def _writable(self) -> None:
        self._loop.remove_writer(self._connection.fileno())
        self._flush()
        self._read_if_drained()

    def _read_if_drained(self) -> None:
        if self._open and not self._paused and not self._congested and not self._rests:
            self._loop.add_reader(self._connection.fileno(), self._readable)

    @property
    def _congested(self) -> bool:
        return self._unsent_max is not None and len(self._unsent) > self._unsent_max

    def _readable(self) -> None:
        for _ in range(_READ_LIMIT):
            if self._congested:
                # Whoever sends and takes nothing has to wait.
                self._loop.remove_reader(self._connection.fileno())
                return
            try:
                data = self._connection.recv(MESSAGE_SIZE_MAX + 1)
            except BlockingIOError:
                return
            except OSError as error:
                self._end(error.strerror or str(error))
                return
            if not data:
                self._end("it closed its end")
                return
            self._spend(len(data))
            try:
                message = self._decode(data)
            except BadMessage:
                self.bad_messages += 1
            else:
                self._received(message)
            if not self._open or self._paused or self._rests:
                return

    def _spend(self, size: int) -> None:
        rest_s = 0.0 if self._budget is None else self._budget.spend(self._loop.time(), size)
        if rest_s > 0:
            self._rests = True
            self._loop.remove_reader(self._connection.fileno())
            self._loop.call_later(rest_s, self._rested)

    def _rested(self) -> None:
        self._rests = False
        self._read_if_drained()

    def _end(self, why: str) -> None:
        self.close()
        self._lost(why)
