"""The reporter's process: it lives as long as the engine, and starts what its settings ask for."""

import asyncio
import contextlib
import os
import socket
import time
from logging import ERROR, INFO
from typing import TYPE_CHECKING

from carpsidecar import logs
from carpsidecar.ipc.messages import ReporterSettings
from carpsidecar.logs import in_words, log
from carpsidecar.reporter.control.commands import Commands
from carpsidecar.reporter.control.server import ControlServer
from carpsidecar.reporter.control.status import StatusReport
from carpsidecar.reporter.pipe import Pipe
from carpsidecar.reporter.state import State
from carpsidecar.reporter.stats import Stats
from carpsidecar.status.credentials import peer_of
from carpsidecar.status.paths import socket_of

if TYPE_CHECKING:
    from carpsidecar.reporter.http.server import HttpServer

SETTINGS_WITHIN_S = 10.0
LAST_WORDS_S = 4.0
"""Less than the engine waits for us."""
LISTEN_AGAIN_S = 2.0


def run(connection: socket.socket) -> int:
    """Report until the engine closes the other end."""
    return asyncio.run(_run(connection))


async def _run(connection: socket.socket) -> int:
    engine_pid, _ = peer_of(connection)  # which made the socket pair
    pipe = Pipe(asyncio.get_running_loop(), connection)
    settings = await pipe.first(SETTINGS_WITHIN_S)
    if not isinstance(settings, ReporterSettings):
        return 1
    writer = logs.start(settings.log_format, settings.log_level)
    log(INFO, "reporter_started", "the reporter runs", pid=os.getpid())
    try:
        await _report(pipe, settings, engine_pid)
    finally:
        pipe.close()
        writer.close()
    return 0


async def _report(pipe: Pipe, settings: ReporterSettings, engine_pid: int) -> None:
    state, stats = State(), Stats()
    node = settings.kubernetes.node_name if settings.kubernetes else ""
    async with contextlib.AsyncExitStack() as parts:
        kubernetes = None
        if settings.kubernetes is not None:
            from carpsidecar.reporter.kubernetes import KubernetesReporter

            kubernetes = KubernetesReporter(settings.kubernetes, state, stats.api, pipe.ask)
            parts.push_async_callback(asyncio.to_thread, kubernetes.stop, LAST_WORDS_S)
            kubernetes.start()
        if settings.checks:
            from carpsidecar.reporter.health.checks import HealthChecks

            checks = HealthChecks(settings.checks, stats.checks, pipe.ask)
            parts.push_async_callback(checks.close)
            checks.start()
        if settings.http:
            from carpsidecar.reporter.http.server import HttpServer

            server = HttpServer(settings.http, state, stats, kubernetes.cluster if kubernetes else None, node)
            parts.push_async_callback(server.close)
            listening = asyncio.create_task(_listen(server, settings.http))
            parts.callback(listening.cancel)
        status = StatusReport(state, pipe.ask, engine_pid, node or socket.gethostname())
        control = ControlServer(socket_of(engine_pid), state, status, Commands(state, pipe.ask))
        parts.push_async_callback(control.close)
        await control.start()
        await pipe.read(state.receive, state.bad_message)
        if state.successor is None:
            state.engine_gone(time.time())


async def _listen(server: "HttpServer", address: str) -> None:
    """On the hosts' network the port may be in use for a moment, by the pod that this one replaces."""
    said = ""
    while True:
        try:
            await server.start()
        except OSError as error:
            if said != in_words(error):
                said = in_words(error)
                log(ERROR, "http_failed", f"http: can't listen on {address}: {said}; tried again")
            await asyncio.sleep(LISTEN_AGAIN_S)
        else:
            return
