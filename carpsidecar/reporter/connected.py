"""A reporter in a container of its own: it connects to the engine's socket, again whenever the engine is new.

On TERM, which a kubelet sends to both containers at once, it goes on until the engine has closed the connection, to
report the engine's end.
"""

import os
import signal
import socket
import sys
import time
import traceback

from carpsidecar.ipc.credentials import ENGINE_UID, peer_of
from carpsidecar.reporter.process import run as report

RETRY_S = 0.5
STOP_WITHIN_S = 12
"""More than the engine's last commands and its reporter's last writes may take."""


def run(path: str) -> int:
    """Report until TERM or INT."""
    return _Connected(path).run()


class _Connected:
    def __init__(self, path: str) -> None:
        self._path = path
        self._problem = ""
        self._stopping = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        # As the first process of its container it has to end by itself.
        signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
        for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)

    def run(self) -> int:
        while not self._stopping:
            try:
                connection = self._connect()
            except OSError as error:
                self._report(error.strerror or str(error))
            else:
                self._problem = ""
                with connection:
                    _serve(connection)
            if not self._stopping:
                time.sleep(RETRY_S)
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

    def _stop(self, number: int, frame: object) -> None:
        if not self._stopping:
            self._stopping = True
            signal.alarm(STOP_WITHIN_S)

    def _report(self, problem: str) -> None:
        if self._problem != problem:
            self._problem = problem
            print(
                f"carpsidecar: no engine at {self._path} yet ({problem}): tried again", file=sys.stderr, flush=True
            )


def _serve(connection: socket.socket) -> None:
    try:
        report(connection)
    except Exception:
        # The next one starts from nothing.
        traceback.print_exc()
