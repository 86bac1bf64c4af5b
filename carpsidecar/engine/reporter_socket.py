"""The reporter as somebody else's process, in a container of its own: it connects to a socket of the engine's.

Its user is checked (SO_PEERCRED), and the newest connection counts, so that a reporter that was replaced while its
connection lives on does not keep the next one out.
"""

import contextlib
import socket
from collections.abc import Callable
from logging import ERROR, INFO, WARNING
from pathlib import Path

from carpsidecar.engine.control_socket import listen
from carpsidecar.engine.reporter import Reporter, Setup
from carpsidecar.engine.throttle import Throttle
from carpsidecar.ipc.credentials import peer_of, reporter_ids
from carpsidecar.ipc.settings import ReporterSettings
from carpsidecar.logs import in_words, log

ACCEPT_GAP_S = 0.5
"""Between two connections, each of which is sent everything anew."""
_BACKLOG = 4
_UMASK = 0o111
_LISTEN_AGAIN_S = 5.0
_LOG_EVERY_S = 60.0


class ReporterSocket(Reporter):
    """Listens at `path`, where all may connect."""

    def __init__(self, setup: Setup, path: Path) -> None:
        super().__init__(setup)
        self._path = path
        self._listening: socket.socket | None = None
        self._uid, _ = reporter_ids()
        self._throttle = Throttle(_LOG_EVERY_S, 1)
        self._failure = ""

    def prepare(self) -> None:
        try:
            self._listening = listen(self._path, socket.SOCK_SEQPACKET, _UMASK, _BACKLOG)
        except OSError as error:
            if self._failure != in_words(error):
                self._failure = in_words(error)
                text = f"no reporter can connect to {self._path}: {self._failure}; tried again"
                log(ERROR, "reporter_failed", text)

    def start(self) -> None:
        if self._listening is None:
            self.prepare()
        if self._listening is None:
            self._loop.call_later(_LISTEN_AGAIN_S, self.start)
        else:
            self._accept_again()

    def reconfigure(self, settings: ReporterSettings) -> None:
        self._settings = settings
        # So the old one knows that we live on, and what it can leave as it is; it connects again.
        self.send(settings)
        self._disconnect()

    def stop(self, stopped: Callable[[], None]) -> None:
        self.close()
        stopped()

    def close(self) -> None:
        self._disconnect()
        if self._listening is not None:
            self._loop.remove_reader(self._listening.fileno())
            self._listening.close()
            self._listening = None
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _accept_again(self) -> None:
        if self._listening is not None:
            self._loop.add_reader(self._listening.fileno(), self._accept)

    def _accept(self) -> None:
        assert self._listening is not None
        self._loop.remove_reader(self._listening.fileno())
        self._loop.call_later(ACCEPT_GAP_S, self._accept_again)
        try:
            connection, _ = self._listening.accept()
        except OSError:
            return
        try:
            _, uid = peer_of(connection)
            if uid != self._uid:
                self._refuse(uid)
                connection.close()
                return
            self._disconnect()
            connection.setblocking(False)
            self._connect(connection)
            log(INFO, "reporter_connected", f"a reporter has connected to {self._path}")
        except OSError:
            connection.close()

    def _refuse(self, uid: int) -> None:
        if self._throttle.allow(self._loop.time(), uid) is not None:
            text = f"a process of uid {uid} connected to {self._path}, which is for the reporter's, {self._uid}"
            log(WARNING, "reporter_refused", text)
