"""What the reporter knows, from the engine's messages. One thread, that of the loop, changes it."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from carpsidecar.ipc.messages import GroupCounters, GroupGone, GroupSnapshot, Heartbeat, Notice, Report
from carpsidecar.ipc.settings import Configuration, ReporterSettings

ENGINE_SILENT_AFTER_S = 3.0
_TRANSITIONS_KEPT = 200


class State:
    """The newest of everything. Whoever subscribes is called, in the loop's thread, after each message."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.groups: dict[str, GroupSnapshot] = {}
        self.counters: dict[str, GroupCounters] = {}
        self.drops: dict[str, dict[str, int]] = {}
        """By interface and reason."""
        self.transitions: deque[GroupSnapshot] = deque(maxlen=_TRANSITIONS_KEPT)
        """The snapshots in which a role was entered, the oldest first."""
        self.notices: deque[Notice] = deque(maxlen=_TRANSITIONS_KEPT)
        self.successor: ReporterSettings | None = None
        """What the next reporter is changed, where the engine only replaces this one."""
        self.configuration: dict[str, Any] = {}
        """What the engine runs with, as a file could say it; empty where it did not report that."""
        self.bad_messages = 0
        """That either side could not read."""
        self.bad_messages_here = 0
        self.refused_commands: dict[str, int] = {}
        """By the engine, by kind."""
        self._clock = clock
        self._heard_at: float | None = None
        self._counted_at: dict[str, float] = {}
        self._subscribers: list[Callable[[Report], None]] = []
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def engine_alive(self) -> bool:
        """Whether the engine's heart was heard lately."""
        return self._heard_at is not None and self._clock() - self._heard_at < ENGINE_SILENT_AFTER_S

    @property
    def engine_silent_s(self) -> float | None:
        """Seconds since the last heartbeat; None before the first."""
        return None if self._heard_at is None else self._clock() - self._heard_at

    def counted_s_ago(self, group: str) -> float:
        """Seconds since a heartbeat changed of this group; infinite before the first."""
        return self._clock() - self._counted_at.get(group, -float("inf"))

    async def until(self, wanted: Callable[[], bool], within_s: float) -> bool:
        """Wait for messages until they make it so. Whether they did, in this time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not wanted():
                    changed = asyncio.get_running_loop().create_future()
                    self._waiting.append(changed)
                    await changed
        return wanted()

    def subscribe(self, called: Callable[[Report], None]) -> None:
        self._subscribers.append(called)

    def engine_gone(self, now_s: float) -> None:
        """The addresses are held no more: a group that did not report so was left by a dying engine."""
        for snapshot in list(self.groups.values()):
            if snapshot.role != "init":
                self.receive(
                    replace(snapshot, role="init", reason="the engine is gone", since_s=now_s, master=None)
                )

    def receive(self, message: Report) -> None:
        if isinstance(message, GroupSnapshot):
            before = self.groups.get(message.group)
            if before is None or (before.role, before.since_s) != (message.role, message.since_s):
                self.transitions.append(message)
            self.groups[message.group] = message
        elif isinstance(message, GroupGone):
            self.groups.pop(message.group, None)
            self.counters.pop(message.group, None)
            self._counted_at.pop(message.group, None)
        elif isinstance(message, Heartbeat):
            self._heard_at = self._clock()
            self.counters.update(message.counters)
            self._counted_at.update(dict.fromkeys(message.counters, self._heard_at))
            self.drops.update(message.drops)
            self.bad_messages = message.bad_messages + self.bad_messages_here
            self.refused_commands = message.refused_commands
        elif isinstance(message, Configuration):
            self.configuration = message.document
        elif isinstance(message, ReporterSettings):
            self.successor = message
        elif isinstance(message, Notice):
            self.notices.append(message)
        for called in self._subscribers:
            called(message)
        waiting, self._waiting = self._waiting, []
        for changed in waiting:
            if not changed.done():
                changed.set_result(None)
