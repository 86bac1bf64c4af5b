"""The reporter as the engine sees it: a child that may be slow, crash or be killed, and is started again.

Nothing here waits for it: its end is reported by a descriptor, and a new one gets everything anew.
"""

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from logging import ERROR, INFO, WARNING

from carpsidecar.ipc.channel import Channel
from carpsidecar.ipc.messages import (
    GroupSnapshot,
    ReporterSettings,
    Result,
    ToEngine,
    ToReporter,
    decode_for_engine,
)
from carpsidecar.linux.child import child_environment, end_of
from carpsidecar.logs import in_words, log

RESTART_MIN_S = 0.1
RESTART_MAX_S = 5.0
_GOOD_AFTER_S = 10.0
"""A reporter that lived so long was no failure to start."""
STOP_MAX_S = 5.0
"""How long it may take to report the end, after the engine released everything."""
_UNSENT_MAX = 4096
"""A reporter that leaves more messages than this unread is not listened to."""

Handle = Callable[[ToEngine, Callable[[Result], object]], None]
"""Takes a command, and what to call with its result."""


def open_channel(loop: asyncio.AbstractEventLoop, connection: socket.socket, handle: Handle) -> Channel[ToEngine]:
    """The engine's end of the channel to one reporter."""

    def lost(why: str) -> None:
        log(WARNING, "reporter_lost", f"the reporter is gone: {why}")

    channel: Channel[ToEngine] = Channel(
        loop, connection, decode_for_engine, lambda command: handle(command, channel.send), lost, _UNSENT_MAX
    )
    channel.resume()
    return channel


class ReporterProcess:
    """Keeps one reporter running until `stop`.

    Args:
        handle: called with each command.
        newest: the snapshots of all groups, for a reporter that is new.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: ReporterSettings,
        handle: Handle,
        newest: Callable[[], Iterable[GroupSnapshot]],
    ) -> None:
        self._loop = loop
        self._settings = settings
        self._handle = handle
        self._newest = newest
        self._channel: Channel[ToEngine] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._started_at = 0.0
        self._wait_s = RESTART_MIN_S
        self._again: asyncio.TimerHandle | None = None
        self._stopping = False
        self._stopped: Callable[[], None] = lambda: None
        self._bad_messages_before = 0

    @property
    def bad_messages(self) -> int:
        return self._bad_messages_before + (self._channel.bad_messages if self._channel else 0)

    @property
    def gone(self) -> bool:
        return self._process is None

    def start(self) -> None:
        self._again = None
        self._started_at = self._loop.time()
        try:
            ours = self._launch()
        except OSError as error:
            log(ERROR, "reporter_failed", f"the reporter can't be started: {in_words(error)}")
            self._start_later()
            return
        self._loop.add_reader(self._pidfd, self._ended)
        self._channel = open_channel(self._loop, ours, self._handle)
        self._channel.send(self._settings)
        for snapshot in self._newest():
            self._channel.send(snapshot)

    def _launch(self) -> socket.socket:
        """Start the process. Our end of the pair; without it, nothing of the process is left."""
        with contextlib.ExitStack() as undo:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            undo.callback(ours.close)
            with theirs:
                process = subprocess.Popen(
                    _command(theirs.fileno()), pass_fds=[theirs.fileno()], env=child_environment()
                )
            undo.callback(process.wait)
            undo.callback(process.kill)
            self._pidfd = end_of(process.pid)
            self._process = process
            undo.pop_all()
        return ours

    def reconfigure(self, settings: ReporterSettings) -> None:
        """Start another one, when the old one has taken back what it wrote elsewhere."""
        self._settings = settings
        if self._channel is not None:
            # So it knows that we live on, and what it can leave as it is.
            self._channel.send(settings)
        if not self.gone:
            self._end()
        elif self._again is None:
            self.start()

    def send(self, message: ToReporter) -> None:
        if self._channel is not None:
            self._channel.send(message)

    def stop(self, stopped: Callable[[], None]) -> None:
        """Let it report the end; `stopped` is called when it has."""
        self._stopping = True
        self._stopped = stopped
        if self._again is not None:
            self._again.cancel()
        if self.gone:
            stopped()
        else:
            self._end()

    def close(self) -> None:
        self._stopping = True
        self._kill(self._process)
        if self._process is not None:
            self._process.wait()
            self._forget()

    def _ended(self) -> None:
        assert self._process is not None
        status = self._process.wait()
        self._forget()
        if self._stopping:
            self._stopped()
            return
        if status == 0:
            log(INFO, "reporter_restarted", "the reporter starts again")
            self._wait_s = RESTART_MIN_S
        else:
            how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
            log(ERROR, "reporter_lost", f"the reporter ended ({how}): it is started again")
            if self._loop.time() - self._started_at > _GOOD_AFTER_S:
                self._wait_s = RESTART_MIN_S
        self._start_later()

    def _start_later(self) -> None:
        # All nodes may have lost theirs for one reason: they need not come back in step.
        delay_s = self._wait_s * random.uniform(0.8, 1.2)  # noqa: S311
        self._again = self._loop.call_later(delay_s, self.start)
        self._wait_s = min(2 * self._wait_s, RESTART_MAX_S)

    def _end(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._loop.call_later(STOP_MAX_S, self._kill, self._process)

    def _forget(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._process = None
        if self._channel is not None:
            self._bad_messages_before += self._channel.bad_messages
            self._channel.close()
            self._channel = None

    def _kill(self, process: subprocess.Popen[bytes] | None) -> None:
        if process is not None and process is self._process:
            with contextlib.suppress(ProcessLookupError):
                process.kill()


def _command(descriptor: int) -> list[str]:
    program = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "carpsidecar"]
    return [*program, "reporter", str(descriptor)]
