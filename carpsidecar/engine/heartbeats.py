"""The heartbeats: those that come by themselves, and those that the reporter requests, at a limited rate."""

import asyncio
from collections.abc import Callable

from carpsidecar.ipc.messages import Result, SendHeartbeat

_GAP_MIN_S = 0.05
_REST = 10
"""After a heartbeat comes a rest that is so many times as long as it took."""


class Heartbeats:
    """Args: write: sends one; True: with all groups."""

    def __init__(self, loop: asyncio.AbstractEventLoop, write: Callable[[bool], None]) -> None:
        self._loop = loop
        self._write = write
        self._requested: tuple[int, Callable[[Result], object]] | None = None
        self._not_before = 0.0

    def request(self, command: SendHeartbeat, answer: Callable[[Result], object]) -> None:
        before, self._requested = self._requested, (command.id, answer)
        if before is not None:
            superseded, answer = before
            answer(Result(id=superseded, outcome="superseded"))
        else:
            self._loop.call_at(max(self._loop.time(), self._not_before), self._send_requested)

    def _send_requested(self) -> None:
        if self._requested is not None:
            (command_id, answer), self._requested = self._requested, None
            self.send(whole=True)
            answer(Result(id=command_id, outcome="done"))

    def send(self, whole: bool = False) -> None:
        """Args: whole: with all groups, of which those of Services otherwise have their turn now and then."""
        begun = self._loop.time()
        self._write(whole)
        # With a thousand groups it takes long, and requests without end are not to keep us busy with it.
        ended = self._loop.time()
        self._not_before = max(begun + _GAP_MIN_S, ended + _REST * (ended - begun))
