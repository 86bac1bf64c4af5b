"""Running a group's commands beside the protocol, never in its way.

The commands of one group run one at a time, in the order of the changes that they tell of. Where several wait, only
the newest is run: a command for a state that is past helps nobody.
"""

import asyncio
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping
from logging import INFO, WARNING

from carpsidecar.linux.child import child_environment, end_of
from carpsidecar.logs import log

_KILL_AFTER_S = 2.0


class HookRunner:
    """Starts commands, waits for them, and ends them when their time is up.

    Args:
        name: of the group, for the log.
        finished: called after each command with its label.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, name: str, timeout_s: float, finished: Callable[[str], None]
    ) -> None:
        self._loop = loop
        self._name = name
        self.timeout_s = timeout_s
        self.finished = finished
        self._running: _Running | None = None
        self._waiting: tuple[str, tuple[str, ...], Mapping[str, str]] | None = None
        self.results: Counter[str] = Counter()
        self.when_idle: Callable[[], None] = _nothing
        """Called when the last of the commands has ended."""

    @property
    def idle(self) -> bool:
        return self._running is None

    def run(self, label: str, command: tuple[str, ...], environment: Mapping[str, str]) -> None:
        """Run this after what is running now. `label` names it in logs."""
        if self._running is None:
            self._start(label, command, environment)
            return
        if self._waiting is not None:
            self.results["skipped"] += 1
            skipped = self._waiting[0]
            log(
                INFO,
                "hook_skipped",
                f"{skipped} was not run: {label} came after it",
                group=self._name,
                hook=skipped,
            )
        self._waiting = (label, command, environment)

    def end(self) -> None:
        """End what runs, and forget what waits."""
        self._waiting = None
        if self._running is not None:
            self._running.signal(signal.SIGKILL)

    def _start(self, label: str, command: tuple[str, ...], environment: Mapping[str, str]) -> None:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                env={**child_environment(), **environment},
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            self.results["failed"] += 1
            reason = error.strerror if isinstance(error, OSError) else str(error)
            log(
                WARNING,
                "hook_failed",
                f"{label}: {command[0]} can't be run ({reason}): check its path, and that it is executable",
                group=self._name,
                hook=label,
                exit_status=None,
            )
            self._loop.call_soon(self.finished, label)
            return
        self._running = _Running(process, label, end_of(process.pid))
        self._running.timer = self._loop.call_later(self.timeout_s, self._time_is_up, self._running)
        self._loop.add_reader(self._running.end, self._ended, self._running)

    def _time_is_up(self, running: "_Running") -> None:
        running.timed_out = True
        log(
            WARNING,
            "hook_timeout",
            f"{running.label}: still running after {self.timeout_s:g} s: ended",
            group=self._name,
            hook=running.label,
        )
        running.signal(signal.SIGTERM)
        running.timer = self._loop.call_later(_KILL_AFTER_S, running.signal, signal.SIGKILL)

    def _ended(self, running: "_Running") -> None:
        self._loop.remove_reader(running.end)
        os.close(running.end)
        if running.timer is not None:
            running.timer.cancel()
        if running.timed_out:
            # It has ended when asked to, but a child of its own may not have listened.
            running.signal(signal.SIGKILL)
        status = running.process.wait()
        self._running = None
        if running.timed_out:
            self.results["timeout"] += 1
        elif status == 0:
            self.results["ok"] += 1
        else:
            self.results["failed"] += 1
            log(
                WARNING,
                "hook_failed",
                f"{running.label}: exit status {status}",
                group=self._name,
                hook=running.label,
                exit_status=status,
            )
        self.finished(running.label)
        if self._running is None and self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            self._start(*waiting)
        if self._running is None:
            self.when_idle()


def _nothing() -> None:
    pass


class _Running:
    """A command that has been started and has not ended."""

    def __init__(self, process: subprocess.Popen[bytes], label: str, end: int) -> None:
        self.process = process
        self.label = label
        self.end = end
        self.timer: asyncio.TimerHandle | None = None
        self.timed_out = False

    def signal(self, number: signal.Signals) -> None:
        # The whole session, so that a shell script's own children end with it.
        try:
            os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError):
            self.process.send_signal(number)
