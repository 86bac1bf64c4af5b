"""The reporter as a process of the engine's: it may be slow, crash or be killed, and is started again.

Nothing here waits for it: its starter reports its end, and a new one gets everything anew.
"""

import asyncio
import random
import signal
import socket
from collections.abc import Callable
from logging import ERROR, INFO

from carpsidecar.engine.reporter import Reporter, Setup
from carpsidecar.engine.starter import Starter
from carpsidecar.ipc.settings import ReporterSettings
from carpsidecar.logs import in_words, log

RESTART_MIN_S = 0.1
RESTART_MAX_S = 5.0
_GOOD_AFTER_S = 10.0
"""A reporter that lived so long was no failure to start."""
STOP_MAX_S = 5.0
"""How long it may take to report the end, after the engine released everything."""


class ReporterProcess(Reporter):
    """Keeps one reporter running until `stop`."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._starter = Starter(setup.loop, _parts(setup.settings), self._ended)
        self._runs = False
        self._failure = ""
        self._started_at = 0.0
        self._wait_s = RESTART_MIN_S
        self._again: asyncio.TimerHandle | None = None
        self._kill: asyncio.TimerHandle | None = None
        self._stopped: Callable[[], None] | None = None

    @property
    def gone(self) -> bool:
        return not self._runs

    def prepare(self) -> None:
        try:
            self._starter.launch()
        except OSError as error:
            self._failed(error)

    def start(self) -> None:
        self._again = None
        self._started_at = self._loop.time()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                self._starter.start(theirs)
                self._runs = True
            self._connect(ours)
        except OSError as error:
            ours.close()
            if not self._runs:
                self._failed(error)
                self._start_later()

    def reconfigure(self, settings: ReporterSettings) -> None:
        self._settings = settings
        # So the old one knows that we live on, and what it can leave as it is.
        self.send(settings)
        if self._runs:
            self._end()
        elif self._again is None:
            self.start()

    def stop(self, stopped: Callable[[], None]) -> None:
        self._stopped = stopped
        if self._again is not None:
            self._again.cancel()
        if self._runs:
            self._end()
        else:
            stopped()

    def close(self) -> None:
        self._disconnect()
        self._starter.close()

    def _ended(self, status: int | None) -> None:
        self._disconnect()
        self._runs = False
        if self._kill is not None:
            self._kill.cancel()
            self._kill = None
        if self._stopped is not None:
            self._stopped()
            return
        if status == 0:
            log(INFO, "reporter_restarted", "the reporter starts again")
            self._wait_s = RESTART_MIN_S
        else:
            how = "with its starter" if status is None else f"exit status {status}"
            if status is not None and status < 0:
                how = f"signal {signal.Signals(-status).name}"
            log(ERROR, "reporter_lost", f"the reporter ended ({how}): it is started again")
            if self._loop.time() - self._started_at > _GOOD_AFTER_S:
                self._wait_s = RESTART_MIN_S
        if self._again is None:
            self._start_later()

    def _failed(self, error: OSError) -> None:
        # Tried again and again, and logged when it is another failure.
        if self._failure != in_words(error):
            self._failure = in_words(error)
            log(ERROR, "reporter_failed", f"the reporter can't be started: {self._failure}; tried again")

    def _start_later(self) -> None:
        # All nodes may have lost theirs for one reason: they need not come back in step.
        delay_s = self._wait_s * random.uniform(0.8, 1.2)  # noqa: S311
        self._again = self._loop.call_later(delay_s, self.start)
        self._wait_s = min(2 * self._wait_s, RESTART_MAX_S)

    def _end(self) -> None:
        self._disconnect()
        if self._kill is None:
            self._kill = self._loop.call_later(STOP_MAX_S, self._starter.kill)


def _parts(settings: ReporterSettings) -> list[str]:
    """Of the reporter, that are needed."""
    needed = {"http": settings.http, "checks": settings.checks, "kubernetes": settings.kubernetes}
    return [part for part, wanted in needed.items() if wanted]
