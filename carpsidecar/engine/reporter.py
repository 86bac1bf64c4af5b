"""What the engine has of its reporter, wherever that runs: a channel, which each new one gets anew."""

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from logging import WARNING
from typing import NamedTuple

from carpsidecar.engine.control_socket import ControlSocket
from carpsidecar.ipc.channel import Budget, Channel
from carpsidecar.ipc.messages import Result, ToEngine, ToReporter, decode_for_engine, encode
from carpsidecar.ipc.settings import ReporterSettings
from carpsidecar.logs import log

_UNSENT_MAX = 4096
"""A reporter that leaves more messages than this unread is not listened to."""
_READ_BURST, _READ_PER_S = 2000.0, 200.0
"""Messages, or units of 4 kB of them: what is more than this has to wait."""

Handle = Callable[[ToEngine, Callable[[Result], object]], None]
"""Takes a command, and what to call with its result."""


def open_channel(loop: asyncio.AbstractEventLoop, connection: socket.socket, handle: Handle) -> Channel[ToEngine]:
    """The engine's end of the channel to one reporter."""

    def lost(why: str) -> None:
        log(WARNING, "reporter_lost", f"the reporter is gone: {why}")

    channel: Channel[ToEngine] = Channel(
        loop,
        connection,
        decode_for_engine,
        lambda command: handle(command, channel.send),
        lost,
        unsent_max=_UNSENT_MAX,
        budget=Budget(_READ_BURST, _READ_PER_S),
    )
    channel.resume()
    return channel


class Setup(NamedTuple):
    """What there is for a reporter."""

    loop: asyncio.AbstractEventLoop
    settings: ReporterSettings
    handle: Handle
    """Called with each command."""
    newest: Callable[[], Iterable[ToReporter]]
    """All that a reporter that is new must know."""
    control: ControlSocket
    """Which it serves."""


class Reporter(ABC):
    def __init__(self, setup: Setup) -> None:
        self._loop, self._settings, self._handle, self._newest, self._control = setup
        self._channel: Channel[ToEngine] | None = None
        self._bad_messages_before = 0

    @property
    def bad_messages(self) -> int:
        return self._bad_messages_before + (self._channel.bad_messages if self._channel else 0)

    def send(self, message: ToReporter) -> None:
        if self._channel is not None:
            self._channel.send(message)

    @abstractmethod
    def prepare(self) -> None:
        """What needs the privileges that the engine gives up before it goes on."""

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def reconfigure(self, settings: ReporterSettings) -> None:
        """Have another one, when the old one has taken back what it wrote elsewhere."""

    @abstractmethod
    def stop(self, stopped: Callable[[], None]) -> None:
        """Let it report the end; `stopped` is called when it has."""

    @abstractmethod
    def close(self) -> None: ...

    def _connect(self, connection: socket.socket) -> None:
        """A reporter is at the other end of this.

        Raises:
            OSError: it is gone already.
        """
        listening = self._control.listening
        descriptors = [] if listening is None else [listening.fileno()]
        socket.send_fds(connection, [encode(self._settings)], descriptors)
        self._channel = open_channel(self._loop, connection, self._handle)
        for message in self._newest():
            self._channel.send(message)

    def _disconnect(self) -> None:
        if self._channel is not None:
            self._bad_messages_before += self._channel.bad_messages
            self._channel.close()
            self._channel = None
