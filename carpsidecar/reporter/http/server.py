"""The server: which path answers what. On loopback, unless somebody wants it elsewhere."""

import asyncio
import os
from collections.abc import Callable
from functools import partial
from http import HTTPStatus

from carpsidecar.reporter.http.answer import JSON, Answer, Request, in_text
from carpsidecar.reporter.http.connection import Connection
from carpsidecar.reporter.http.listen import Listen
from carpsidecar.reporter.http.metrics import CONTENT_TYPE, Metrics
from carpsidecar.reporter.http.page import page
from carpsidecar.reporter.http.probes import healthz, readyz, readyz_master
from carpsidecar.reporter.http.rested import Rested
from carpsidecar.reporter.http.status import render
from carpsidecar.status.builder import StatusBuilder
from carpsidecar.status.state import State
from carpsidecar.status.stats import Stats

CONNECTIONS_MAX = 64
_BACKLOG = 1024
_ACCEPTED_AT_ONCE = 32
"""So many in one turn of the loop: fewer than there is room for, so that each is heard before another takes its
place."""


class HttpServer:
    """Health, metrics and the page, in the running loop.

    Args:
        listen: `address:port`.
        in_kubernetes: whether there are metrics of its API.

    Raises:
        ValueError: `listen` is not an address and a port.
    """

    def __init__(
        self,
        listen: str,
        state: State,
        stats: Stats,
        builder: StatusBuilder,
        in_kubernetes: bool,
    ) -> None:
        self._listen = Listen.parse(listen)
        self._state = state
        metrics = Metrics(state, stats, in_kubernetes)
        self._metrics = Rested(metrics.render)
        self._status = Rested(partial(render, builder, metrics))
        self._page = page()
        self._routes: dict[str, Callable[[Request], Answer]] = {
            "/": lambda request: self._page,
            "/status.json": lambda request: Answer(HTTPStatus.OK, self._status(), JSON),
            "/metrics": lambda request: Answer(HTTPStatus.OK, self._metrics(), CONTENT_TYPE),
            "/healthz": lambda request: healthz(state),
            "/readyz": lambda request: readyz(state, request),
            "/readyz/master": lambda request: readyz_master(state, request),
        }
        self._connections: dict[Connection, None] = {}
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, also where the port was left to the kernel."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    async def start(self) -> None:
        """
        Raises:
            OSError: nobody can listen there.
        """
        try:
            listening = self._listen.socket()
        except OSError as error:
            # Python puts the address into the text, which the caller knows.
            raise OSError(error.errno, os.strerror(error.errno or 0)) from None
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._answer, self._opened, self._closed), sock=listening, backlog=_ACCEPTED_AT_ONCE
        )
        # asyncio has one number for both; but whom the queue has no room for tries again after a second only.
        listening.listen(_BACKLOG)

    async def close(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._connections):
            connection.abort()
        await self._server.wait_closed()

    def _opened(self, connection: Connection) -> None:
        self._connections[connection] = None
        if len(self._connections) > CONNECTIONS_MAX:
            # The oldest goes: whoever comes to ask gets an answer, however many come to stay.
            oldest = next(iter(self._connections))
            del self._connections[oldest]
            oldest.abort()

    def _closed(self, connection: Connection) -> None:
        self._connections.pop(connection, None)

    def _answer(self, request: Request) -> Answer:
        if not self._listen.serves(request.host):
            return in_text(
                HTTPStatus.MISDIRECTED_REQUEST,
                "here is only this machine's loopback: ask for it as localhost, 127.0.0.1 or [::1]",
            )
        route = self._routes.get(request.path)
        if route is None:
            return in_text(HTTPStatus.NOT_FOUND, f"there is only: {' '.join(self._routes)}")
        return route(request)
