"""A reporter in a container of its own: it connects to the engine's socket, again whenever the engine is new.

Each connection is served by a process of its own, so that it starts from nothing. On TERM, which a kubelet sends to
both containers at once, it goes on until the engine has closed the connection, to report the engine's end.
"""

import select
import signal
import socket
import sys
import time
from contextlib import suppress

from carpsidecar.ipc.credentials import ENGINE_UID, peer_of
from carpsidecar.reporter.starter import ReporterChild

RETRY_S = 0.5
STOP_WITHIN_S = 12.0
"""More than the engine's last commands and its reporter's last writes may take."""


def run(path: str) -> int:
    """Report until TERM or INT."""
    return _Connected(path).run()


class _Connected:
    def __init__(self, path: str) -> None:
        self._path = path
        self._problem = ""
        self._deadline: float | None = None
        """When to end at the latest; None: nobody stops us."""
        self._signalled, waking = socket.socketpair()
        self._signalled.setblocking(False)
        waking.setblocking(False)
        self._waking = waking
        signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)

    def run(self) -> int:
        while self._deadline is None:
            try:
                connection = self._connect()
            except OSError as error:
                self._report(error.strerror or str(error))
            else:
                self._problem = ""
                self._serve(connection)
            if self._deadline is None:
                self._wait(None, RETRY_S)
        return 0

    def _connect(self) -> socket.socket:
        """Raises: OSError."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connection.connect(self._path)
            _, uid = peer_of(connection)
            if uid != ENGINE_UID:
                raise PermissionError(f"it belongs to uid {uid}, which is not the engine's, {ENGINE_UID}")
        except OSError:
            connection.close()
            raise
        return connection

    def _serve(self, connection: socket.socket) -> None:
        child = ReporterChild(connection.detach())
        while not self._wait(child.end, None if self._deadline is None else self._deadline - time.monotonic()):
            if self._deadline is not None and time.monotonic() >= self._deadline:
                child.kill()
        child.wait()

    def _wait(self, end: int | None, within_s: float | None) -> bool:
        """Until this is readable, or a signal comes. Whether it is."""
        watched = [self._signalled.fileno(), *([] if end is None else [end])]
        ready, _, _ = select.select(watched, [], [], None if within_s is None else max(0.0, within_s))
        with suppress(BlockingIOError):
            self._signalled.recv(64)
        return end in ready

    def _stop(self, number: int, frame: object) -> None:
        if self._deadline is None:
            self._deadline = time.monotonic() + STOP_WITHIN_S

    def _report(self, problem: str) -> None:
        if self._problem != problem:
            self._problem = problem
            print(
                f"carpsidecar: no engine at {self._path} yet ({problem}): tried again", file=sys.stderr, flush=True
            )
