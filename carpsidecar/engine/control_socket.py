"""Opens the control socket, on which the reporter serves: whoever replaces the reporter, its place and rights stay.

Who may use it is the kernel's decision, by the file's mode: connect() needs the right to write to the socket
(unix(7)), and that have its owner, its group, and root. It is made with that mode, in a folder that others can't
enter.
"""

import contextlib
import os
import socket
from logging import WARNING
from pathlib import Path

from carpsidecar.logs import in_words, log

_BACKLOG = 64
_UMASK = 0o117
"""Leaves 0660 of a socket."""


class ControlSocket:
    """Listens at `path`; where that can't be, it is logged, and `listening` is None."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.listening: socket.socket | None = None
        try:
            self.listening = _listen(path)
        except OSError as error:
            text = f"no control socket at {path} ({in_words(error)}): carpsidecar status and step-down won't work"
            log(WARNING, "control_failed", text, socket=str(path))

    def close(self) -> None:
        if self.listening is not None:
            self.listening.close()
            with contextlib.suppress(OSError):
                self._path.unlink()


def _listen(path: Path) -> socket.socket:
    """Raises: OSError."""
    folder = path.parent
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    remove_left_over(folder)
    return listen(path, socket.SOCK_STREAM, _UMASK, _BACKLOG)


def listen(path: Path, kind: int, umask: int, backlog: int) -> socket.socket:
    """Listen there without blocking, in place of whatever has this name: an engine that had our process id, say.

    Raises:
        OSError: no socket can be there.
    """
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    before = os.umask(umask)
    try:
        listening.bind(str(path))
        listening.listen(backlog)
    except OSError:
        listening.close()
        raise
    finally:
        os.umask(before)
    return listening


def remove_left_over(folder: Path) -> None:
    """Remove the sockets of engines that are gone.

    Only where no such process is there and none listens: one that listens may be in another process namespace.

    Raises:
        OSError: the folder can't be read.
    """
    for path in folder.glob("*.sock"):
        if path.stem.isdecimal() and not _is_process(int(path.stem)) and not _listens(path):
            with contextlib.suppress(OSError):
                path.unlink()


def _is_process(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as client:
        try:
            client.connect(str(path))
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
        return True
