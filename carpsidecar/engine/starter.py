"""What starts the reporters, as the engine sees it: a child with the reporter's user and without any privilege.

It has to be started while the engine still may change users, so that it is there for reporters that come later. The
other side: `carpsidecar.reporter.starter`.
"""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from logging import WARNING

from carpsidecar.ipc.credentials import REPORTER_UID, reporter_ids
from carpsidecar.ipc.starter import KILL, START
from carpsidecar.linux.capabilities import missing
from carpsidecar.logs import log

_EXIT_WITHIN_S = 1.0
_TO_CHANGE_USERS = "CAP_SETUID", "CAP_SETGID"
_KEPT = (
    *("PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "JOURNAL_STREAM"),
    *("LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME"),
)
_KEPT_PREFIXES = ("LC_", "KUBERNETES_")


class Starter:
    """
    Args:
        parts: of the reporter that will be needed, as `carpsidecar.reporter.starter` names them.
        ended: called with the exit status of a reporter that ended; None: the starter itself did.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, parts: Sequence[str], ended: Callable[[int | None], None]
    ) -> None:
        self._parts = parts
        self._loop = loop
        self._ended = ended
        self._user = _user()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Start it, where it does not run.

        Raises:
            OSError: it can't be started; most often, the engine may not change users any more.
        """
        if self._control is not None:
            return
        if self._user is not None and missing(_TO_CHANGE_USERS):
            raise PermissionError("its starter ended, and we may not change users any more: restart the engine")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                self._process = subprocess.Popen(
                    self._command(theirs.fileno()), pass_fds=[theirs.fileno()], env=environment(), cwd="/"
                )
        except OSError:
            ours.close()
            raise
        ours.setblocking(False)
        self._control = ours
        self._loop.add_reader(ours.fileno(), self._readable)

    def start(self, connection: socket.socket) -> None:
        """Have it start a reporter at this end of a socket pair. Raises: OSError."""
        self.launch()
        assert self._control is not None
        socket.send_fds(self._control, [START], [connection.fileno()])

    def kill(self) -> None:
        """Kill the reporter, if one runs."""
        if self._control is not None:
            with contextlib.suppress(OSError):
                self._control.send(KILL)

    def close(self) -> None:
        """End it, and the reporter that it may have."""
        self.kill()
        self._forget()

    def _command(self, descriptor: int) -> list[str]:
        program = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "carpsidecar"]
        # It starts as our user, to read its own files wherever they are, and becomes the other before it does more.
        user = "" if self._user is None else ":".join(map(str, self._user))
        return [*program, "reporter", str(descriptor), user, *self._parts]

    def _readable(self) -> None:
        assert self._control is not None
        try:
            message = self._control.recv(64)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if message:
            self._ended(int(message.removeprefix(b"ended ")))
        else:
            self._forget()
            self._ended(None)

    def _forget(self) -> None:
        if self._control is not None:
            self._loop.remove_reader(self._control.fileno())
            self._control.close()
            self._control = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_EXIT_WITHIN_S)
            self._process = None


def _user() -> tuple[int, int] | None:
    """User and group to start it with; None where we may not change ours."""
    if missing(_TO_CHANGE_USERS):
        text = (
            f"the reporter runs as this user, uid {os.geteuid()}, and may read what it may: give the engine"
            " CAP_SETUID and CAP_SETGID, which it gives up at the start, or the reporter a container of its own"
        )
        log(WARNING, "reporter_user", text)
        return None
    uid, gid = reporter_ids()
    if uid == os.geteuid():
        return REPORTER_UID, REPORTER_UID
    return uid, gid


def environment() -> dict[str, str]:
    """Of the engine's only what a reporter needs: all else may be a secret."""
    return {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
