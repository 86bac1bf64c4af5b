"""Log lines, as text for people or as JSON objects with stable keys, written so that nobody can hold up the engine.

A terminal that is stopped, or a full pipe, blocks whoever writes to it. So a thread of its own writes, from a queue
that is bounded: what does not fit is dropped and counted, and the count is logged when there is room again.
"""

import json
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from carpsidecar.linux.capabilities import keep_only

logger = logging.getLogger("carpsidecar")

_QUEUE_MAX = 2000
_FLUSH_TIMEOUT_S = 1.0
_REST_S = 0.01

Sink = Callable[[int, str], None]
"""Takes a level of `logging` and a formatted line."""


def log(level: int, event: str, message: str, **keys: Any) -> None:
    """Log a line: `event` is a stable name for machines, `message` is for people, `keys` go with both."""
    if logger.isEnabledFor(level):
        logger.log(level, message, extra={"event": event, "keys": keys})


def in_words(error: OSError) -> str:
    """The error for people, without the number that Python puts before it."""
    return error.strerror or str(error)


class TextFormatter(logging.Formatter):
    """`2026-11-22T12:00:00.123 INFO web: became master: no advertisement from the master`."""

    def __init__(self, with_time: bool) -> None:
        super().__init__()
        self._with_time = with_time

    def format(self, record: logging.LogRecord) -> str:
        group = getattr(record, "keys", {}).get("group")
        message = record.getMessage().replace("\n", " ")
        line = f"{record.levelname} {group}: {message}" if group else f"{record.levelname} {message}"
        return f"{_timestamp(record)} {line}" if self._with_time else line


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, event, message, and the event's own keys."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": _timestamp(record),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", "log"),
            "message": record.getMessage(),
            **getattr(record, "keys", {}),
        }
        return json.dumps(entry, default=str, ensure_ascii=False)


def _timestamp(record: logging.LogRecord) -> str:
    local = time.localtime(record.created)
    offset = time.strftime("%z", local)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{int(record.msecs):03d}{offset}"


class Writer(logging.Handler):
    """Hands lines to a thread that writes them."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink = sink
        self._lines: queue.Queue[tuple[int, str] | None] = queue.Queue(_QUEUE_MAX)
        self._dropped = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.put_nowait((record.levelno, self.format(record)))
        except queue.Full:
            self._dropped += 1

    def close(self) -> None:
        self._closing.set()
        try:
            self._lines.put(None, timeout=_FLUSH_TIMEOUT_S)
        except queue.Full:
            return
        self._thread.join(_FLUSH_TIMEOUT_S)

    def _write(self) -> None:
        # Each thread has privileges of its own: what the process gives up later, this one would keep.
        keep_only((), bounding=True)
        while (entry := self._lines.get()) is not None:
            dropped, self._dropped = self._dropped, 0
            try:
                if dropped:
                    self._sink(logging.WARNING, self.format(_of_dropped(dropped)))
                self._sink(*entry)
            except OSError:
                self._dropped += dropped + 1
            if self._lines.empty():
                # When hundreds of groups change at once, waking us for each line would take most of the time.
                self._closing.wait(_REST_S)


def _of_dropped(lines: int) -> logging.LogRecord:
    text = f"{lines} log lines were dropped: their reader is too slow"
    extra = {"event": "lines_dropped", "keys": {"lines": lines}}
    return logger.makeRecord(logger.name, logging.WARNING, "", 0, text, (), None, extra=extra)


def to_stderr(level: int, line: str) -> None:
    data = (line + "\n").encode(errors="replace")
    while data:
        data = data[os.write(2, data) :]


def start(form: str, level: str, sink: Sink = to_stderr) -> Writer:
    """Log from now on; close the result at the end, so that the last lines are written."""
    writer = Writer(sink)
    logger.handlers[:] = [writer]
    logger.propagate = False
    configure(form, level)
    return writer


def configure(form: str, level: str) -> None:
    """Go on in this form, from this level up."""
    # The journal has its own time stamps.
    with_time = "JOURNAL_STREAM" not in os.environ or sys.stderr.isatty()
    for handler in logger.handlers:
        handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter(with_time))
    logger.setLevel(level.upper())
