"""One run of each kind of check, against real sockets and processes."""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from carpsidecar.reporter.health import attempt as module
from carpsidecar.reporter.health import lookup as lookup_module
from carpsidecar.reporter.health.command import Command
from carpsidecar.reporter.health.lookup import Lookup
from tests.support.waits import SOON_S
from tests.unit.reporter.health.targets import answering, attempt, until


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# TCP.


def test_a_port_that_takes_a_connection_is_good() -> None:
    async def play() -> str | None:
        async with answering(b"") as port:
            return await attempt("tcp", f"localhost:{port}")

    assert asyncio.run(play()) is None


def test_a_port_that_refuses_is_bad() -> None:
    assert asyncio.run(attempt("tcp", f"127.0.0.1:{closed_port()}")) == "no connection: refused"


@pytest.mark.parametrize(
    "target", ["", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:99999", ":80", "[::1:80"]
)
def test_what_is_no_host_and_port_is_bad(target: str) -> None:
    problem = asyncio.run(attempt("tcp", target))
    assert problem is not None
    assert "is not host:port" in problem


def test_a_name_that_there_is_not_is_bad() -> None:
    problem = asyncio.run(attempt("tcp", "no-such-host.invalid:80"))
    assert problem is not None
    assert problem.startswith("no connection: ")


def test_a_name_is_not_asked_for_again_while_its_answer_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    answers = asyncio.Event()

    async def ask(host: str) -> list[str]:
        nonlocal asked
        asked += 1
        await answers.wait()
        return ["192.0.2.1"]

    monkeypatch.setattr(lookup_module, "_ask", ask)

    async def play() -> list[str]:
        lookup = Lookup()
        for _ in range(5):
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    await lookup.addresses("db.example")
        answers.set()
        return await lookup.addresses("db.example")

    assert asyncio.run(play()) == ["192.0.2.1"]
    assert asked == 1


# HTTP.


def reply(status: int, more: str = "") -> bytes:
    return f"HTTP/1.1 {status} Whatever\r\n{more}Content-Length: 2\r\n\r\nhi".encode()


@pytest.mark.parametrize(
    ("status", "problem"),
    [(200, None), (204, None), (302, None), (399, None), (400, "status 400"), (503, "status 503")],
)
def test_the_status_decides(status: int, problem: str | None) -> None:
    async def play() -> str | None:
        async with answering(reply(status)) as port:
            return await attempt("http", f"http://127.0.0.1:{port}/health")

    assert asyncio.run(play()) == problem


def test_it_asks_for_the_path_with_its_query_and_says_who_asks() -> None:
    heard: list[bytes] = []

    async def play() -> int:
        async with answering(reply(200), heard) as port:
            assert await attempt("http", f"http://localhost:{port}/a%20b?c=d#e") is None
            assert await attempt("http", f"http://127.0.0.1:{port}") is None
            return port

    port = asyncio.run(play())
    assert heard[0].startswith(b"GET /a%20b?c=d HTTP/1.1\r\n")
    assert f"\r\nHost: localhost:{port}\r\n".encode() in heard[0]
    assert b"\r\nUser-Agent: carpsidecar/" in heard[0]
    assert heard[1].startswith(b"GET / HTTP/1.1\r\n")


def test_a_hundred_continue_first_is_no_answer_yet() -> None:
    async def play() -> str | None:
        async with answering(b"HTTP/1.1 100 Continue\r\n\r\n" + reply(500)) as port:
            return await attempt("http", f"http://127.0.0.1:{port}/")

    assert asyncio.run(play()) == "status 500"


@pytest.mark.parametrize(
    "data",
    [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000, b"\0" * 99],
)
def test_an_answer_that_is_no_http_is_bad(data: bytes) -> None:
    async def play() -> str | None:
        async with answering(data) as port:
            return await attempt("http", f"http://127.0.0.1:{port}/")

    problem = asyncio.run(play())
    assert problem is not None
    assert problem.startswith(("no HTTP answer: ", "the connection was lost: "))


@pytest.mark.parametrize("url", ["", "http://", "ftp://127.0.0.1/", "http://127.0.0.1:99999/", "http://[::1/"])
def test_what_is_no_url_is_bad(url: str) -> None:
    problem = asyncio.run(attempt("http", url))
    assert problem is not None
    assert "is not an http:// or https:// URL" in problem


def test_a_refused_connection_is_bad() -> None:
    assert asyncio.run(attempt("http", f"http://127.0.0.1:{closed_port()}/")) == "no connection: refused"


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    subprocess.run(
        ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, *subject),
        check=True,
        capture_output=True,
    )
    return cert, key


def test_https_is_good_only_with_a_certificate_that_is_trusted(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(*certificate)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(reply(200))
        await writer.drain()
        writer.close()

    async def play() -> list[str | None]:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=served)
        port = server.sockets[0].getsockname()[1]
        untrusted = await attempt("http", f"https://localhost:{port}/")
        trusting = ssl.create_default_context(cafile=str(certificate[0]))
        monkeypatch.setattr(module, "_verifying", lambda: trusting)
        trusted = await attempt("http", f"https://localhost:{port}/")
        other_name = await attempt("http", f"https://127.0.0.1:{port}/")
        server.close()
        return [untrusted, trusted, other_name]

    untrusted, trusted, other_name = asyncio.run(play())
    assert untrusted == "the certificate is not trusted: self-signed certificate"
    assert trusted is None
    assert other_name is not None
    assert other_name.startswith("the certificate is not trusted: IP address mismatch")


def test_a_silent_server_leaves_no_connection_behind() -> None:
    closed = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while await reader.read(4096):
                pass
        closed.set()

    async def play() -> None:
        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await attempt("http", f"http://127.0.0.1:{port}/")
        async with asyncio.timeout(5):
            await closed.wait()
        server.close()

    asyncio.run(play())


# Commands.


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (["true"], None),
        (["sh", "-c", "echo fine; echo twice >&2"], None),
        (["sh", "-c", "exit 3"], "exit status 3"),
        (["sh", "-c", "kill -TERM $$"], "it was ended by SIGTERM"),
        (["echo", "$(exit 1); false"], None),
    ],
)
def test_the_exit_status_decides_and_no_shell_comes_between(command: list[str], problem: str | None) -> None:
    assert asyncio.run(attempt("command", *command)) == problem


def test_a_command_that_can_not_be_run_is_bad(tmp_path: Path) -> None:
    script = tmp_path / "check"
    script.write_text("#!/bin/sh\n")
    for path, why in ((script, "Permission denied"), (tmp_path / "none", "No such file or directory")):
        problem = asyncio.run(attempt("command", str(path)))
        assert problem == f"{path} can't be run ({why}): check its path, and that it is executable"
    problem = asyncio.run(attempt("command", "a\0b"))
    assert problem is not None
    assert "can't be run" in problem


def test_much_output_neither_holds_it_up_nor_stays() -> None:
    assert (
        asyncio.run(attempt("command", "sh", "-c", "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2"))
        is None
    )


def test_it_gets_no_passphrase_and_no_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARP_PASSPHRASE", "secret")
    assert asyncio.run(attempt("command", "sh", "-c", 'test -z "$CARP_PASSPHRASE" && ! read line')) is None


def running(pid: int) -> bool:
    """Not merely unburied."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_when_its_time_is_up_it_is_killed_with_its_children(tmp_path: Path) -> None:
    note = tmp_path / "children"
    script = f"trap '' TERM; sleep 600 & echo $! > {note}; sleep 600"

    async def play() -> tuple[float, int]:
        command = Command(["sh", "-c", script])
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await command()
        took_s = time.monotonic() - begun
        child = int(note.read_text())
        await until(lambda: not running(child))
        command._arguments = ["true"]
        async with asyncio.timeout(SOON_S):
            # The next run reaps it, as soon as it is dead: on a busy machine its child may die first.
            while await command() is not None:
                await asyncio.sleep(0.005)
        return took_s, child

    took_s, _ = asyncio.run(play())
    assert took_s < 2


def test_what_it_left_in_the_background_is_killed_too(tmp_path: Path) -> None:
    note = tmp_path / "child"

    async def play() -> None:
        assert await attempt("command", "sh", "-c", f"sleep 600 & echo $! > {note}") is None
        await until(lambda: not running(int(note.read_text())))

    asyncio.run(play())


def test_one_that_can_not_be_killed_is_not_run_beside_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "runs"
    # As on a file system that hangs, where not even SIGKILL helps.
    monkeypatch.setattr("carpsidecar.reporter.health.command._kill", lambda process: None)

    async def play() -> list[str | None]:
        command = Command(["sh", "-c", f"echo $$ >> {note}; exec sleep 600"])
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await command()
        return [await command(), await command()]

    try:
        assert asyncio.run(play()) == ["the last run of it hangs, and can't be killed"] * 2
        assert len(note.read_text().split()) == 1
    finally:
        os.kill(int(note.read_text().split()[0]), signal.SIGKILL)
