"""The engine as the reporter sees it: each command gets its own result, and exactly one."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable

import pytest

from carpsidecar.ipc.channel import Channel
from carpsidecar.ipc.messages import (
    MESSAGE_SIZE_MAX,
    Result,
    SetAdvskew,
    StepDown,
    ToEngine,
    ToReporter,
    decode_for_engine,
    decode_for_reporter,
)
from carpsidecar.reporter.engine import Engine
from tests.support.waits import SOON_S


class EngineBench:
    """The reporter's end with an engine on it; `other` is the engine's end, for the test to play."""

    def __init__(self) -> None:
        ours, self.other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        loop = asyncio.get_running_loop()
        self.channel: Channel[ToReporter] = Channel(loop, ours, decode_for_reporter, lambda message: None, print)
        self.engine = Engine(loop, self.channel)

    async def received(self) -> ToEngine:
        return decode_for_engine(await asyncio.to_thread(self.other.recv, MESSAGE_SIZE_MAX))

    def block(self) -> None:
        """Fill the socket, so that what is sent next waits."""
        advskew = 0
        while not self.channel._unsent:
            self.channel.send(SetAdvskew(id=0, advskew=advskew % 255))
            advskew += 1


def run(test: Callable[[EngineBench], Awaitable[None]]) -> None:
    async def body() -> None:
        bench = EngineBench()
        try:
            async with asyncio.timeout(SOON_S):
                await test(bench)
        finally:
            bench.channel.close()
            bench.other.close()

    asyncio.run(body())


def test_results_find_their_commands_in_whatever_order_they_come() -> None:
    async def test(bench: EngineBench) -> None:
        requests = [
            asyncio.create_task(bench.engine.request(StepDown(group=name), SOON_S)) for name in ("web", "lan")
        ]
        first, second = [await bench.received(), await bench.received()]
        assert first.id != second.id
        bench.engine.receive(Result(id=second.id, outcome="refused", reason="no"))
        bench.engine.receive(Result(id=first.id, outcome="done"))
        results = [(await request).outcome for request in requests]
        assert results == ["done", "refused"]

    run(test)


def test_a_command_that_a_newer_one_replaced_before_it_was_sent_is_superseded() -> None:
    async def test(bench: EngineBench) -> None:
        bench.block()
        old = asyncio.create_task(bench.engine.request(StepDown(group="web", text="old"), SOON_S))
        await asyncio.sleep(0)
        bench.engine.post(StepDown(group="web", text="new"))
        assert (await old).outcome == "superseded"

    run(test)


def test_no_result_in_time_is_a_timeout_and_one_that_comes_late_harms_nobody() -> None:
    async def test(bench: EngineBench) -> None:
        with pytest.raises(TimeoutError):
            await bench.engine.request(StepDown(), 0.01)
        late = await bench.received()
        bench.engine.receive(Result(id=late.id, outcome="done"))

    run(test)


def test_a_command_may_be_posted_from_any_thread() -> None:
    async def test(bench: EngineBench) -> None:
        thread = threading.Thread(target=bench.engine.post, args=[StepDown(text="from a thread")])
        thread.start()
        command = await bench.received()
        assert isinstance(command, StepDown)
        assert command.text == "from a thread"
        thread.join()

    run(test)


def test_a_command_after_the_end_of_the_loop_is_dropped() -> None:
    engines: list[Engine] = []

    async def test(bench: EngineBench) -> None:
        engines.append(bench.engine)

    run(test)
    engines[0].post(StepDown())
