"""One end of the channel between engine and reporter, over a real socket pair."""

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from carpsidecar.ipc.channel import Channel
from carpsidecar.ipc.messages import (
    MESSAGE_SIZE_MAX,
    GroupGone,
    Notice,
    Result,
    SetDemotion,
    StepDown,
    ToEngine,
    ToReporter,
    decode_for_engine,
    decode_for_reporter,
    encode,
)
from tests.support.builders import heartbeat, snapshot
from tests.unit.engine.loops import Loop

HEARTBEAT = heartbeat(sent_s=1.5)
NOTICE = Notice(kind="conflict", group="web", interface="eth0", peer="02:00:00:00:00:66", text="it claims it")
UNSENT_MAX = 8


class ChannelBench:
    def __init__(self, loop: Loop, reads: bool = True) -> None:
        self.loop = loop
        self.asked: list[ToEngine] = []
        self.lost: list[str] = []
        engines, self.reporter = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel: Channel[ToEngine] = Channel(
            loop.asyncio, engines, decode_for_engine, self.asked.append, self.lost.append, unsent_max=UNSENT_MAX
        )
        if reads:
            self.channel.resume()
        self.reporter.settimeout(5)

    def receive(self) -> ToReporter:
        return decode_for_reporter(self.reporter.recv(MESSAGE_SIZE_MAX))

    def close(self) -> None:
        self.channel.close()
        self.reporter.close()

    def fill(self) -> int:
        """Send until nothing more goes through; how many did."""
        sent = 0
        while not self.channel._unsent:
            self.channel.send(snapshot("filler", advskew=sent))
            sent += 1
        return sent


@pytest.fixture
def bench(loop: Loop) -> Iterator[ChannelBench]:
    bench = ChannelBench(loop)
    yield bench
    bench.close()


def test_what_is_sent_arrives_a_message_a_packet_and_in_order(bench: ChannelBench) -> None:
    bench.channel.send(snapshot())
    bench.channel.send(HEARTBEAT)
    bench.channel.send(GroupGone(group="web"))
    assert [bench.receive() for _ in range(3)] == [snapshot(), HEARTBEAT, GroupGone(group="web")]


def test_what_comes_is_handed_over(bench: ChannelBench) -> None:
    commands: list[ToEngine] = [SetDemotion(cause="drain", amount=100), StepDown(group="web"), StepDown()]
    for command in commands:
        bench.reporter.send(encode(command))
    bench.loop.until(lambda: len(bench.asked) == 3)
    assert bench.asked == commands


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
def test_a_bad_message_is_dropped_and_counted_and_the_next_one_taken(bench: ChannelBench, message: bytes) -> None:
    bench.reporter.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MESSAGE_SIZE_MAX)
    bench.reporter.send(message)
    bench.reporter.send(encode(StepDown()))
    bench.loop.until(lambda: bool(bench.asked))
    assert bench.asked == [StepDown()]
    assert bench.channel.bad_messages == 1


def test_a_reporter_that_does_not_read_gets_the_newest_of_each_group_later(bench: ChannelBench) -> None:
    already_sent = bench.fill() - 1
    for advskew in range(1000):
        for name in ("web", "db", "mail"):
            bench.channel.send(snapshot(name, advskew=advskew))
    bench.channel.send(GroupGone(group="mail"))
    bench.channel.send(snapshot(advskew=1000))
    for number in range(already_sent):
        assert bench.receive() == snapshot("filler", advskew=number)
    bench.loop.until(lambda: not bench.channel._unsent)
    assert [bench.receive() for _ in range(4)] == [
        snapshot("filler", advskew=already_sent),
        snapshot("db", advskew=999),
        GroupGone(group="mail"),
        snapshot(advskew=1000),
    ]


def test_of_the_heartbeats_that_wait_the_newest_is_sent_and_notices_are_left_out(bench: ChannelBench) -> None:
    sent = bench.fill()
    for number in range(1000):
        bench.channel.send(heartbeat(sent_s=float(number)))
        bench.channel.send(NOTICE)
    for _ in range(sent - 1):
        bench.receive()
    bench.loop.until(lambda: not bench.channel._unsent)
    bench.receive()
    assert bench.receive() == heartbeat(sent_s=999.0)
    bench.channel.send(NOTICE)
    assert bench.receive() == NOTICE


def test_a_message_that_is_not_sent_any_more_is_given_back(bench: ChannelBench) -> None:
    bench.fill()
    first, newer = StepDown(id=1, group="web"), StepDown(id=2, group="web")
    assert bench.channel.send(first) is None
    assert bench.channel.send(StepDown(id=3, group="db")) is None
    assert bench.channel.send(newer) == first


def test_whoever_sends_and_takes_nothing_is_not_read_from_until_it_does(bench: ChannelBench) -> None:
    sent = bench.fill()
    for number in range(UNSENT_MAX):
        bench.channel.send(Result(id=number, outcome="done"))
    bench.reporter.send(encode(StepDown()))
    before_s = time.process_time()
    bench.loop.a_while(0.3)
    assert (bench.asked, time.process_time() - before_s < 0.1) == ([], True)
    for _ in range(sent):
        bench.receive()
        bench.loop.a_while(0)
    bench.loop.until(lambda: bool(bench.asked))
    assert bench.asked == [StepDown()]


def test_a_channel_reads_nothing_before_it_is_resumed_and_loses_nothing(loop: Loop) -> None:
    bench = ChannelBench(loop, reads=False)
    bench.reporter.send(encode(StepDown()))
    bench.loop.a_while()
    assert bench.asked == []
    bench.channel.resume()
    bench.loop.until(lambda: bool(bench.asked))
    bench.close()


def test_the_loop_does_not_spin_while_the_reporter_does_not_read(bench: ChannelBench) -> None:
    bench.fill()
    before_s = time.process_time()
    bench.loop.a_while(0.3)
    assert time.process_time() - before_s < 0.1


@pytest.mark.parametrize("talking", ["silent", "after a message", "with messages unread"])
def test_an_end_that_is_closed_is_reported_once_and_disturbs_nobody(bench: ChannelBench, talking: str) -> None:
    if talking == "after a message":
        bench.reporter.send(encode(StepDown()))
    if talking == "with messages unread":
        bench.fill()
    bench.reporter.close()
    bench.loop.until(lambda: bool(bench.lost))
    bench.loop.a_while()
    for _ in range(100):
        bench.channel.send(snapshot())
        bench.channel.send(NOTICE)
    assert len(bench.lost) == 1


def test_an_answer_to_one_that_left_right_after_sending_is_lost_and_reported_once(loop: Loop) -> None:
    lost: list[str] = []
    engines, reporter = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel: Channel[ToEngine] = Channel(
        loop.asyncio, engines, decode_for_engine, lambda message: channel.send(snapshot()), lost.append
    )
    with contextlib.closing(channel):
        reporter.send(encode(StepDown()))
        reporter.close()
        channel.resume()
        loop.until(lambda: bool(lost))
        loop.a_while()
        assert lost == ["Broken pipe"]


def test_a_group_with_all_the_addresses_there_can_be_does_not_cost_the_channel(bench: ChannelBench) -> None:
    large = snapshot(addresses=["192.0.2.100"] * 4096)
    bench.channel.send(large)
    bench.channel.send(snapshot("small"))
    assert bench.lost == []
    assert bench.receive() == large
    assert bench.receive() == snapshot("small")
