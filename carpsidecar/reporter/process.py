"""The reporter's process: it lives as long as the engine, and starts what its settings name."""

import asyncio
import contextlib
import os
import socket
import time
from logging import ERROR, INFO
from typing import TYPE_CHECKING

from carpsidecar import logs
from carpsidecar.ipc.channel import Channel
from carpsidecar.ipc.messages import MESSAGE_SIZE_MAX, BadMessage, Result, ToReporter, decode_for_reporter
from carpsidecar.ipc.settings import ReporterSettings
from carpsidecar.logs import in_words, log
from carpsidecar.reporter.control.commands import Commands
from carpsidecar.reporter.control.server import ControlServer
from carpsidecar.reporter.control.status import FreshStatus
from carpsidecar.reporter.engine import Engine
from carpsidecar.status.builder import StatusBuilder
from carpsidecar.status.state import State
from carpsidecar.status.stats import Stats

if TYPE_CHECKING:
    from carpsidecar.reporter.http.server import HttpServer

SETTINGS_WITHIN_S = 10.0
LAST_WRITES_S = 4.0
"""Less than the engine waits for us."""
LISTEN_AGAIN_S = 2.0


def run(connection: socket.socket) -> int:
    """Report until the engine closes the other end."""
    connection.settimeout(SETTINGS_WITHIN_S)
    try:
        data, descriptors, _, _ = socket.recv_fds(connection, MESSAGE_SIZE_MAX + 1, 1)
        settings = decode_for_reporter(data)
    except (OSError, BadMessage):
        return 1
    if not isinstance(settings, ReporterSettings):
        return 1
    control = socket.socket(fileno=descriptors[0]) if descriptors else None
    return asyncio.run(_run(connection, settings, control))


async def _run(connection: socket.socket, settings: ReporterSettings, control: socket.socket | None) -> int:
    writer = logs.start(settings.log_format, settings.log_level)
    log(INFO, "reporter_started", "the reporter runs", pid=os.getpid())
    link = _Link(asyncio.get_running_loop(), connection)
    try:
        await _report(link, settings, control)
    finally:
        link.channel.close()
        writer.close()
    return 0


class _Link:
    """Takes the engine's messages."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
        self.channel = Channel(loop, connection, decode_for_reporter, self._received, self._lost)
        self.engine = Engine(loop, self.channel)
        self.state = State()
        self.gone: asyncio.Future[None] = loop.create_future()

    def _received(self, message: ToReporter) -> None:
        if isinstance(message, Result):
            self.engine.receive(message)
        else:
            self.state.bad_messages_here = self.channel.bad_messages
            self.state.receive(message)

    def _lost(self, why: str) -> None:
        self.gone.set_result(None)


async def _report(link: _Link, settings: ReporterSettings, control: socket.socket | None) -> None:
    state, stats, send = link.state, Stats(), link.engine.post
    node = settings.kubernetes.node_name if settings.kubernetes else ""
    async with contextlib.AsyncExitStack() as parts:
        kubernetes = None
        if settings.kubernetes is not None:
            from carpsidecar.reporter.kubernetes import KubernetesReporter

            request = link.engine.request_from_thread
            kubernetes = KubernetesReporter(settings.kubernetes, state, stats.api, send, request=request)
            parts.push_async_callback(asyncio.to_thread, kubernetes.stop, LAST_WRITES_S)
            kubernetes.start()
            stats.services = kubernetes.services if settings.kubernetes.load_balancer else None
        if settings.checks:
            from carpsidecar.reporter.health.checks import HealthChecks

            checks = HealthChecks(settings.checks, stats.checks, send)
            parts.push_async_callback(checks.close)
            checks.start()
        cluster = kubernetes.cluster if kubernetes else None
        builder = StatusBuilder(state, stats, settings.pid, node or socket.gethostname(), cluster)
        if settings.http:
            from carpsidecar.reporter.http.server import HttpServer

            server = HttpServer(settings.http, state, stats, builder, in_kubernetes=kubernetes is not None)
            parts.push_async_callback(server.close)
            listening = asyncio.create_task(_listen(server, settings.http))
            parts.callback(listening.cancel)
        if control is not None:
            status = FreshStatus(state, link.engine, builder)
            serving = ControlServer(control, state, status, Commands(state, link.engine))
            parts.push_async_callback(serving.close)
            await serving.start()
        link.channel.resume()
        await link.gone
        if state.successor is None:
            state.engine_gone(time.time())


async def _listen(server: "HttpServer", address: str) -> None:
    """On the hosts' network the port may be in use for a moment, by the pod that this one replaces."""
    logged = ""
    while True:
        try:
            await server.start()
        except OSError as error:
            if logged != in_words(error):
                logged = in_words(error)
                log(ERROR, "http_failed", f"http: can't listen on {address}: {logged}; tried again")
            await asyncio.sleep(LISTEN_AGAIN_S)
        else:
            return
