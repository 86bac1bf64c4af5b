"""The engine's end of the socket pair, with a real one."""

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from carpsidecar.engine.pipe import Pipe
from carpsidecar.ipc.messages import (
    MESSAGE_SIZE_MAX,
    GroupGone,
    SetDemotion,
    StepDown,
    ToEngine,
    ToReporter,
    decode_for_reporter,
    encode,
)
from tests.support.builders import heartbeat, snapshot
from tests.support.logs import Logged
from tests.unit.engine.loops import Loop

HEARTBEAT = heartbeat(sent_s=1.5)


class Bench:
    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.asked: list[ToEngine] = []
        engines, self.reporter = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pipe = Pipe(loop.asyncio, engines, self.asked.append)
        self.reporter.settimeout(5)

    def receive(self) -> ToReporter:
        return decode_for_reporter(self.reporter.recv(MESSAGE_SIZE_MAX))

    def fill(self) -> int:
        """Send until nothing more goes through; how many did."""
        sent = 0
        while not self.pipe._kept:
            self.pipe.send_group(snapshot("filler", advskew=sent))
            sent += 1
        return sent


@pytest.fixture
def bench(loop: Loop) -> Iterator[Bench]:
    bench = Bench(loop)
    yield bench
    bench.pipe.close()
    bench.reporter.close()


def test_what_is_sent_arrives_a_message_a_packet_and_in_order(bench: Bench) -> None:
    bench.pipe.send_group(snapshot())
    bench.pipe.send_now(HEARTBEAT)
    bench.pipe.send_group(GroupGone(group="web"))
    assert [bench.receive() for _ in range(3)] == [snapshot(), HEARTBEAT, GroupGone(group="web")]


def test_what_is_asked_is_handed_over(bench: Bench) -> None:
    wishes: list[ToEngine] = [SetDemotion(cause="drain", amount=100), StepDown(group="web"), StepDown()]
    for wish in wishes:
        bench.reporter.send(encode(wish))
    bench.loop.until(lambda: len(bench.asked) == 3)
    assert bench.asked == wishes


@pytest.mark.parametrize(
    "message",
    [
        b"x",
        b"{}",
        b"\xff\xfe\x00",
        b'{"type":"step_down","version":2}',
        b'{"type":"step_down","version":0}',
        b'{"type":"step_down","group":5}',
        b'{"type":"step_down","group":"\xff"}',
        b'{"type":"demotion","cause":"x","amount":"a lot"}',
        b'{"type":"demotion","amount":1}',
        b'{"type":"heartbeat","sent_s":1,"counters":{},"drops":{},"bad_messages":0}',
        b"[" * 100_000,
        b'{"type":"step_down"}' + b" " * MESSAGE_SIZE_MAX,
        b'{"type":"step_down","group":"' + b"x" * MESSAGE_SIZE_MAX + b'"}',
    ],
    ids=lambda message: repr(message[:50]),
)
def test_a_bad_message_is_dropped_and_counted_and_the_next_one_taken(bench: Bench, message: bytes) -> None:
    bench.reporter.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MESSAGE_SIZE_MAX)
    bench.reporter.send(message)
    bench.reporter.send(encode(StepDown()))
    bench.loop.until(lambda: bool(bench.asked))
    assert bench.asked == [StepDown()]
    assert bench.pipe.bad_messages == 1


def test_a_reporter_that_does_not_read_gets_the_newest_of_each_group_later(bench: Bench) -> None:
    already_sent = bench.fill() - 1
    for advskew in range(1000):
        for name in ("web", "db", "mail"):
            bench.pipe.send_group(snapshot(name, advskew=advskew))
    bench.pipe.send_group(GroupGone(group="mail"))
    bench.pipe.send_group(snapshot(advskew=1000))
    for number in range(already_sent):
        assert bench.receive() == snapshot("filler", advskew=number)
    bench.loop.until(lambda: not bench.pipe._kept)
    assert [bench.receive() for _ in range(4)] == [
        snapshot("filler", advskew=already_sent),
        snapshot("db", advskew=999),
        GroupGone(group="mail"),
        snapshot(advskew=1000),
    ]


def test_heartbeats_are_left_out_while_the_reporter_does_not_read(bench: Bench) -> None:
    sent = bench.fill()
    for _ in range(10_000):
        bench.pipe.send_now(HEARTBEAT)
    for _ in range(sent - 1):
        bench.receive()
    bench.loop.until(lambda: not bench.pipe._kept)
    bench.receive()
    bench.pipe.send_now(HEARTBEAT)
    assert bench.receive() == HEARTBEAT


def test_the_loop_does_not_spin_while_the_reporter_does_not_read(bench: Bench) -> None:
    bench.fill()
    before_s = time.process_time()
    bench.loop.a_while(0.3)
    assert time.process_time() - before_s < 0.1


@pytest.mark.parametrize("talking", ["silent", "after a word", "with words unread"])
def test_a_reporter_that_closes_its_end_is_said_once_and_disturbs_nobody(
    bench: Bench, logged: Logged, talking: str
) -> None:
    if talking == "after a word":
        bench.reporter.send(encode(StepDown()))
    if talking == "with words unread":
        bench.fill()
    bench.reporter.close()
    bench.loop.until(lambda: bool(logged.lines))
    bench.loop.a_while()
    for _ in range(100):
        bench.pipe.send_group(snapshot())
        bench.pipe.send_now(HEARTBEAT)
    assert logged.events == ["reporter_lost"]


def test_an_answer_to_a_reporter_that_left_right_after_asking_is_lost_and_said_once(
    loop: Loop, logged: Logged
) -> None:
    engines, reporter = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pipe = Pipe(loop.asyncio, engines, lambda message: pipe.send_group(snapshot()))
    with contextlib.closing(pipe):
        reporter.send(encode(StepDown()))
        reporter.close()
        loop.until(lambda: bool(logged.lines))
        loop.a_while()
        assert logged.lines == ["the reporter is gone: Broken pipe"]


def test_a_group_with_all_the_addresses_there_can_be_does_not_cost_the_pipe(bench: Bench, logged: Logged) -> None:
    large = snapshot(addresses=["192.0.2.100"] * 4096)
    bench.pipe.send_group(large)
    bench.pipe.send_group(snapshot("small"))
    assert logged.lines == []
    assert bench.receive() == large
    assert bench.receive() == snapshot("small")
