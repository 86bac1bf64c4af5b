"""Asking the control sockets: where they are, and every way in which nobody answers."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from carpsidecar.cli import main
from carpsidecar.linux.network_namespace import network_namespace
from carpsidecar.status import client
from carpsidecar.status.client import NoEngine, Replies, send
from carpsidecar.status.kernel import with_kernel_view
from carpsidecar.status.model import schema
from carpsidecar.status.query import NoStatus, query
from carpsidecar.status.requests import Request
from tests.unit.status.builders import backup, engine, group

STATUS = Request(type="status")
SCHEMA = Path(__file__).parents[3] / "docs" / "status-schema.json"
Answering = Callable[..., Path]


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    return tmp_path


@pytest.fixture
def answering(runtime: Path) -> Iterator[Answering]:
    """Makes a socket on which these bytes are the answer to everything; None: it hangs."""
    sockets: list[socket.socket] = []

    def serve(listening: socket.socket, answer: bytes | None) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            sockets.append(connection)
            if answer is not None:
                connection.recv(4096)
                connection.sendall(answer)
                connection.close()

    def make(name: str, answer: bytes | None) -> Path:
        path = runtime / name
        path.parent.mkdir(exist_ok=True)
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen()
        sockets.append(listening)
        threading.Thread(target=serve, args=(listening, answer), daemon=True).start()
        return path

    yield make
    for one in sockets:
        end(one)


def end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


def of(*groups: Any) -> bytes:
    return msgspec.json.encode(engine(*groups)) + b"\n"


def nobody(control: Path | None = None) -> str:
    with pytest.raises(NoEngine) as raised:
        send(STATUS, control)
    return str(raised.value)


def test_no_socket_says_where_and_what_to_do(runtime: Path) -> None:
    expected = (
        f"no engine answers in {runtime}: is `carpsidecar run` running?"
        " `carpsidecar ucarp` has no control socket: send it USR1 or USR2"
    )
    assert nobody() == expected
    runtime.rmdir()
    assert nobody() == expected


def test_every_engine_is_asked_also_those_of_systemds_units(answering: Answering, runtime: Path) -> None:
    answering("7.sock", of(backup()))
    answering("carpsidecar@one/8.sock", of(group()))
    (runtime / "notes").touch()
    replies = send(STATUS, None)
    assert [reply.socket.name for reply in replies.replies] == ["7.sock", "8.sock"]


def test_one_may_be_named(answering: Answering) -> None:
    answering("7.sock", of(backup()))
    named = answering("8.sock", of(group()))
    assert [reply.socket for reply in send(STATUS, named).replies] == [named]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "no answer within 0.2 s"),
        (b"", "it hung up without an answer"),
        (b"{}\n", "the answer can't be read: is it of another version?"),
        (b"\xff\n", "the answer can't be read: is it of another version?"),
        (b"x" * 3000, "the answer has no end"),
    ],
)
def test_a_bad_answer_is_none(
    answering: Answering, answer: bytes | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "STATUS_TIME_S", 0.2)
    monkeypatch.setattr(client, "ANSWER_SIZE_MAX", 2000)
    path = answering("7.sock", answer)
    assert f"({why})" in nobody(path)
    answering("8.sock", of(group()))
    replies = send(STATUS, None)
    assert len(replies.replies) == 1
    assert [(one.socket, one.why) for one in replies.unreachable] == [(str(path), why)]


def test_a_socket_that_was_left_over_and_a_path_that_is_none(runtime: Path) -> None:
    with socket.socket(socket.AF_UNIX) as former:
        former.bind(str(runtime / "7.sock"))
    assert "(no process listens there any more)" in nobody()
    assert "(No such file or directory)" in nobody(runtime / "none")
    assert "(AF_UNIX path too long)" in nobody(runtime / ("x" * 200))


def test_the_command_says_it_in_one_line(runtime: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("status", "step-down", "promote", "drain", "undrain"):
        assert main([command]) == 1
        message = capsys.readouterr()
        assert message.out == ""
        assert message.err.startswith(f"carpsidecar {command}: no engine answers in {runtime}: is ")
        assert message.err.count("\n") == 1


def test_json_is_a_document_also_where_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "version": 1,
        "exit_status": 1,
        "engines": [],
        "unreachable": [],
    }


def test_a_group_that_nobody_has_names_those_there_are(
    answering: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, there in (("7.sock", ["web"]), ("8.sock", ["mail"])):
        error = {"type": "error", "text": "no group is called 'vpn'", "groups": there}
        answering(name, json.dumps(error).encode() + b"\n")
    assert main(["step-down", "vpn"]) == 1
    assert capsys.readouterr().err == "carpsidecar step-down: no group is called 'vpn': there is web, mail\n"
    assert main(["status", "vpn"]) == 1
    assert capsys.readouterr().err == "carpsidecar status: no group is called 'vpn': there is web, mail\n"


def test_what_was_done_and_what_was_not_is_a_line_each(
    answering: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    results = [{"group": "web", "done": True, "text": "is master"}, {"group": "mail", "done": False, "text": "no"}]
    answering("7.sock", json.dumps({"type": "done", "results": results}).encode() + b"\n")
    error = {"type": "error", "text": "no group is called 'web'", "groups": ["vpn"]}
    answering("8.sock", json.dumps(error).encode() + b"\n")
    assert main(["promote"]) == 1
    message = capsys.readouterr()
    assert (message.out, message.err) == ("web: is master\n", "mail: no\n")


@pytest.mark.parametrize("reason", ["a\nb", "\x1b[2J", "x" * 201])
def test_a_reason_that_could_not_be_shown_is_a_bad_command_line(
    reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["drain", "--reason", reason]) == 2
    assert "--reason: can't be used: give one line of at most 200" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["status", "a", "b"], ["step-down", "--json"], ["status", "--control"]])
def test_a_bad_command_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_what_moved_between_two_queries_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    views = [engine(group(problems=["master, but ..."])), engine(group())]
    monkeypatch.setattr("carpsidecar.status.query.send", lambda *given: Replies())
    monkeypatch.setattr("carpsidecar.status.query.with_kernel_view", lambda heard: [views.pop(0)])
    assert query(None, None).engines == [engine(group())]
    assert views == []


def test_a_kernel_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch, answering: Answering) -> None:
    def refuse(heard: object) -> None:
        raise OSError(1, "Operation not permitted")

    answering("7.sock", of(group()))
    monkeypatch.setattr("carpsidecar.status.query.with_kernel_view", refuse)
    with pytest.raises(NoStatus, match="the kernel does not list its addresses: Operation not permitted"):
        query(None, None)


def test_the_schema_in_the_documentation_is_that_of_the_code() -> None:
    made = "python -m carpsidecar.status.model >docs/status-schema.json"
    assert SCHEMA.read_text() == schema(), made


def test_only_an_engine_of_this_network_is_compared_with_the_kernel() -> None:
    ours, elsewhere = (engine(group(kernel=None), network=number) for number in (network_namespace(), 1))
    compared, left = with_kernel_view([ours, elsewhere])
    assert compared.groups[0].kernel is not None
    assert left == elsewhere


def test_what_the_kernel_differs_in_comes_beside_what_the_engine_reports() -> None:
    drift = "vhid of web has changed: replace the pod for it"
    given = engine(
        group(kernel=None, link=True, interface="not there", problems=[drift]), network=network_namespace()
    )
    [compared] = with_kernel_view([given])
    first, *others = compared.groups[0].problems
    assert first == drift
    assert others
