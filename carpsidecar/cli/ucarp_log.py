"""Log lines where ucarp's users look for them: warnings and errors on stderr, the rest on stdout, all in syslog."""

import logging
import os
import socket
import time

_URGENCIES = {logging.DEBUG: "DEBUG", logging.INFO: "INFO", logging.WARNING: "WARNING", logging.ERROR: "ERROR"}
_SEVERITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}


class Line(logging.Formatter):
    """`[WARNING] text`, which syslog dates by itself, or with ucarp's time stamp before it."""

    def __init__(self, with_time: bool) -> None:
        super().__init__()
        self._with_time = with_time

    def format(self, record: logging.LogRecord) -> str:
        line = f"[{_URGENCIES.get(record.levelno, 'ERROR')}] {record.getMessage()}".replace("\n", " ")
        if not self._with_time:
            return line
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(record.created))
        return f"{seconds}.{int(record.created % 1 * 1_000_000):06d}: {line}"


def to_terminal(level: int, line: str) -> None:
    descriptor = 2 if level >= logging.WARNING else 1
    data = (line + "\n").encode(errors="replace")
    while data:
        data = data[os.write(descriptor, data) :]


class Syslog:
    """A sink that never waits: without a daemon at the other end, lines are lost, as under syslog(3)."""

    def __init__(self, facility: int, path: str) -> None:
        self._facility = facility
        self._path = path
        self._socket: socket.socket | None = None

    def __call__(self, level: int, line: str) -> None:
        priority = self._facility << 3 | _SEVERITIES.get(level, _SEVERITIES[logging.ERROR])
        date = time.strftime("%b %e %H:%M:%S")
        packet = f"<{priority}>{date} ucarp[{os.getpid()}]: {line}".encode(errors="replace")
        try:
            self._connected().send(packet)
        except BlockingIOError:
            raise  # counted as dropped, and logged when there is room again
        except OSError:
            self.close()  # it may have been restarted, and listen again for the next line

    def close(self) -> None:
        if self._socket:
            self._socket.close()
        self._socket = None

    def _connected(self) -> socket.socket:
        if not self._socket:
            fresh = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            try:
                fresh.connect(self._path)
            except OSError:
                fresh.close()
                raise
            self._socket = fresh
        return self._socket
