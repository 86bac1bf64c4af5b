"""A server that runs in a thread of its own, and a client that says what it wants to the byte."""

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from carpsidecar.reporter.http.server import HttpServer
from carpsidecar.status.builder import StatusBuilder
from carpsidecar.status.model import PodView
from carpsidecar.status.state import State
from carpsidecar.status.stats import Stats
from tests.support.waits import SOON_S


@dataclass
class Served:
    server: HttpServer
    loop: asyncio.AbstractEventLoop
    state: State
    stats: Stats

    @property
    def port(self) -> int:
        return self.server.address[1]

    def do(self, what: Callable[[], None]) -> None:
        """In the server's thread, as the reporter would."""
        done = threading.Event()
        self.loop.call_soon_threadsafe(what)
        self.loop.call_soon_threadsafe(done.set)
        assert done.wait(SOON_S)


@contextmanager
def serve(
    state: State | None = None,
    stats: Stats | None = None,
    cluster: Callable[[], list[PodView]] | None = None,
    listen: str = "127.0.0.1:0",
    node: str = "",
) -> Iterator[Served]:
    loop = asyncio.new_event_loop()
    state, stats = state or State(), stats or Stats()
    thread = threading.Thread(target=loop.run_forever, name="server")
    thread.start()

    async def make() -> HttpServer:
        builder = StatusBuilder(state, stats, os.getpid(), node, cluster)
        server = HttpServer(listen, state, stats, builder, in_kubernetes=cluster is not None)
        await server.start()
        return server

    server = None
    try:
        server = asyncio.run_coroutine_threadsafe(make(), loop).result(SOON_S)
        yield Served(server, loop, state, stats)
    finally:
        if server is not None:
            asyncio.run_coroutine_threadsafe(server.close(), loop).result(SOON_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(SOON_S)
        loop.close()


@dataclass
class Reply:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        return self.body.decode()


class Client:
    """One connection."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((host, port), timeout=SOON_S)
        self._host = "[::1]" if ":" in host else host

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def ask(self, path: str, method: str = "GET", host: str | None = None) -> Reply:
        self.socket.sendall(f"{method} {path} HTTP/1.1\r\nHost: {host or self._host}\r\n\r\n".encode())
        return self.read(without_body=method == "HEAD")

    def read(self, without_body: bool = False) -> Reply:
        """The next answer, and not a byte more.

        Raises:
            EOFError: the server hung up.
        """
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._receive(1)
        first, *lines = head.decode("latin-1").rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = b""
        while not without_body and len(body) < int(headers["content-length"]):
            body += self._receive(int(headers["content-length"]) - len(body))
        return Reply(int(first.split()[1]), headers, body)

    def hung_up(self) -> bool:
        """Whether the server hangs up, soon."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _receive(self, size: int) -> bytes:
        data = self.socket.recv(size)
        if not data:
            raise EOFError("the server hung up")
        return data


def get(served: Served, path: str, **more: str) -> Reply:
    with Client(served.port) as client:
        return client.ask(path, **more)
