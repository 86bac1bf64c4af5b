"""The control socket: who may speak, how much, how long; and what is left over of former ones."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from carpsidecar.reporter.control import server
from carpsidecar.status.requests import REQUEST_SIZE_MAX
from tests.support.waits import SOON_S
from tests.unit.reporter.control.fake_engine import served


def answer_to(tmp_path: Path, data: bytes, *, end: bool = False) -> str:
    async def run() -> dict[str, Any]:
        async with served(tmp_path) as control:
            return await control.say(data, end=end)

    answer = asyncio.run(run())
    assert answer["type"] == "error"
    return str(answer["text"])


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\n", "this is no request: Input data was truncated"),
        (b"GET / HTTP/1.1\r\n", "this is no request: JSON is malformed"),
        (b"[]\n", "this is no request: Expected `object`"),
        (b"{}\n", "this is no request: Object missing required field `type`"),
        (b'{"type":"reboot"}\n', "this is no request: Invalid enum value 'reboot'"),
        (b'{"type":"drain","group":7}\n', "this is no request: Expected `str | null`"),
        (b'{"type":"drain","reason":"%s"}\n' % (b"x" * 201), "this is no request: Expected `str` of length <= 200"),
        (b'{"type":"drain","reason":"a\\u001b[2Jb"}\n', "this is no request: Expected `str` matching regex"),
        (b'{"type":"drain","reason":"\xff"}\n', "this is no request: "),
        (b"[" * 4000 + b"\n", "this is no request: "),
        (b"x" * (REQUEST_SIZE_MAX + 1), f"the request is longer than {REQUEST_SIZE_MAX} bytes"),
    ],
)
def test_bad_input_is_one_error(tmp_path: Path, data: bytes, text: str) -> None:
    assert answer_to(tmp_path, data).startswith(text)


def test_a_request_without_an_end_is_an_error(tmp_path: Path) -> None:
    assert answer_to(tmp_path, b'{"type":"status"}', end=True) == "the request has no end: send one JSON line"


def test_who_says_nothing_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_TIME_S", 0.05)
    assert answer_to(tmp_path, b"{") == "no request came within 0.05 s: send one JSON line"


def test_there_are_so_many_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 2)

    async def run() -> None:
        async with served(tmp_path) as control:
            idle = [await asyncio.open_unix_connection(control.path) for _ in range(2)]
            answer = await control.ask(type="status")
            assert answer == {"type": "error", "text": "2 others are being served: try again", "groups": None}
            for _, writer in idle:
                writer.close()
            while (await control.ask(type="status"))["type"] != "status":
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), SOON_S))


def test_who_does_not_take_the_answer_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "ANSWER_TIME_S", 0.05)

    async def run() -> None:
        async with served(tmp_path) as control:
            # Of more names than fit into what the kernel keeps for a client.
            control.engine.state.groups |= {
                f"{n}" * 100: control.engine.state.groups["web"] for n in range(100000, 105000)
            }
            reader, writer = await asyncio.open_unix_connection(control.path)
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(b'{"type":"status","group":"x"}\n')
            while len(control.server._serving) != 1:
                await asyncio.sleep(0.001)
            while control.server._serving:
                await asyncio.sleep(0.01)
            writer.close()

    asyncio.run(asyncio.wait_for(run(), SOON_S))


def test_a_bug_is_told_and_logged_and_the_next_one_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[dict[str, Any]]
) -> None:
    async def run() -> None:
        async with served(tmp_path) as control:
            with monkeypatch.context() as broken:
                broken.setattr("carpsidecar.reporter.control.status.FreshStatus.make", lambda *given: 1 / 0)
                assert (await control.ask(type="status"))["text"] == "unexpected: see the log"
            assert (await control.ask(type="status"))["type"] == "status"

    asyncio.run(run())
    assert [line["event"] for line in logged] == ["bug"]


def test_a_command_is_logged_with_who_asked(tmp_path: Path, logged: list[dict[str, Any]]) -> None:
    async def run() -> None:
        async with served(tmp_path) as control:
            await control.ask(type="drain", group="web", reason="kernel update")
            await control.ask(type="status")

    asyncio.run(run())
    [line] = logged
    who = line.pop("user")
    assert line.pop("message") == f"drain requested by {who}: kernel update"
    assert line == {
        "event": "command",
        "command": "drain",
        "group": "web",
        "reason": "kernel update",
        "uid": os.geteuid(),
        "pid": os.getpid(),
    }
