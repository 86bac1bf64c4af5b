"""The engine as the reporter sees it: what takes commands, and answers each."""

import asyncio
import contextlib
import itertools
from concurrent.futures import Future

from msgspec.structs import replace

from carpsidecar.ipc.channel import Channel
from carpsidecar.ipc.messages import BaseCommand, Result, ToEngine, ToReporter


class Engine:
    """Args: channel: to the engine; whoever reads it hands the results to `receive`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, channel: Channel[ToReporter]) -> None:
        self._loop = loop
        self._channel = channel
        self._ids = itertools.count(1)
        self._requests: dict[int, asyncio.Future[Result]] = {}

    def post(self, command: ToEngine) -> None:
        """Send it, from any thread; whoever wants to know the result uses `request`."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: the engine is gone
            self._loop.call_soon_threadsafe(self._send, command)

    async def request(self, command: ToEngine, within_s: float) -> Result:
        """
        Raises:
            TimeoutError: no result came in this time; the command may still be followed.
        """
        number = self._send(command)
        self._requests[number] = self._loop.create_future()
        try:
            return await asyncio.wait_for(self._requests[number], within_s)
        finally:
            del self._requests[number]

    def request_from_thread(self, command: ToEngine, within_s: float) -> "Future[Result]":
        """As `request`, from another thread; the result is as good as none where the loop has ended."""
        coroutine = self.request(command, within_s)
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:  # the loop is closed: the engine is gone
            coroutine.close()
            future: Future[Result] = Future()
            future.cancel()
            return future

    def receive(self, result: Result) -> None:
        request = self._requests.get(result.id)
        if request is not None and not request.done():
            request.set_result(result)

    def _send(self, command: ToEngine) -> int:
        number = next(self._ids)
        superseded = self._channel.send(replace(command, id=number))
        if isinstance(superseded, BaseCommand):
            self.receive(Result(id=superseded.id, outcome="superseded"))
        return number
