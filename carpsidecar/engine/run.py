"""Running the engine: the loop, the signals, systemd, the channel, the privileges. Section 2 of the design."""

import asyncio
import gc
import os
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from logging import ERROR, INFO, WARNING
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from carpsidecar.config.schema import ConfigError
from carpsidecar.config.sources import Config, reported
from carpsidecar.engine.admission import Admission
from carpsidecar.engine.config_watch import ConfigWatch
from carpsidecar.engine.control_socket import ControlSocket
from carpsidecar.engine.engine import Engine
from carpsidecar.engine.heartbeats import Heartbeats
from carpsidecar.engine.notify import Notifier
from carpsidecar.engine.report import failed
from carpsidecar.engine.reporter import Reporter, Setup, open_channel
from carpsidecar.engine.reporter_process import ReporterProcess
from carpsidecar.engine.reporter_socket import ReporterSocket
from carpsidecar.engine.startup import StartError
from carpsidecar.engine.throttle import Reminder
from carpsidecar.ipc.channel import Channel
from carpsidecar.ipc.messages import (
    MESSAGE_SIZE_MAX,
    GroupGone,
    GroupSnapshot,
    Notice,
    Result,
    SendHeartbeat,
    ServiceCommand,
    ToEngine,
    ToReporter,
    encode,
)
from carpsidecar.ipc.paths import socket_of
from carpsidecar.ipc.settings import Configuration, ReporterSettings
from carpsidecar.linux import realtime
from carpsidecar.linux.capabilities import keep_only, missing
from carpsidecar.logs import configure, log

__all__ = ["StartError", "run"]

CAPABILITIES = ("CAP_NET_ADMIN", "CAP_NET_RAW")
HEARTBEAT_S = 1.0
LAST_HOOKS_MAX_S = 10.0
TRY_AGAIN_S = 2.0
THREAD_STACK_BYTES = 512 << 10
"""Of 8 MB, the default, locked memory has every page."""


def run(
    config: Config,
    *,
    reload: Callable[[], Config] | None = None,
    files: Sequence[str] = (),
    listening: Callable[[], None] | None = None,
    reporter: socket.socket | None = None,
) -> int:
    """Take part in the elections until TERM or INT.

    Args:
        reload: reads the configuration again, on HUP.
        files: what it is read from; in Kubernetes it is read again when they change.
        listening: called once, when all sockets are open.
        reporter: our end of the channel to a reporter that somebody else started; else one is started where the
            configuration has settings for it.

    Raises:
        ConfigError: the configuration does not fit this machine.
        StartError: something else keeps us from starting.
    """
    lacking = missing(CAPABILITIES)
    if lacking:
        raise StartError(f"needs {' and '.join(lacking)}: run it as root, or give it these capabilities")
    threading.stack_size(THREAD_STACK_BYTES)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(_log_bug)
    try:
        return _Run(loop, config, reload, reporter, files).run(listening)
    finally:
        loop.close()


class _Run:
    """One run of the engine, from start to exit."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        config: Config,
        reload: Callable[[], Config] | None,
        reporter: socket.socket | None,
        files: Sequence[str],
    ) -> None:
        self._files = files
        self._loop = loop
        self._config = config
        self._reload = reload
        self._config_watch: ConfigWatch | None = None
        self._notifier = Notifier()
        self._engine = Engine(loop, self._report)
        self._admission = Admission(loop, config.reporter, self._engine.group_names, self._engine.handle)
        self._reporter: Reporter | Channel[ToEngine] | None = None
        self._control: ControlSocket | None = None
        if reporter is not None:
            self._reporter = open_channel(loop, reporter, self._handle)
        elif config.reporter is not None:
            self._control = ControlSocket(socket_of(os.getpid()))
            settings = replace(config.reporter, pid=os.getpid())
            setup = Setup(loop, settings, self._handle, self._newest, self._control)
            if config.reporter_socket is None:
                self._reporter = ReporterProcess(setup)
            else:
                self._reporter = ReporterSocket(setup, Path(config.reporter_socket))
        self._heartbeats = Heartbeats(loop, self._write_heartbeat)
        self._waiting: dict[str, GroupSnapshot] = {}
        """What could not be started yet."""
        self._reminder = Reminder(loop, self._log_waiting)
        self._trying_again: asyncio.TimerHandle | None = None
        self._stopping = False

    def run(self, listening: Callable[[], None] | None) -> int:
        try:
            # First, so that whoever stops us while we start is heard when the loop runs.
            self._watch_signals()
            self._start()
            if isinstance(self._reporter, Reporter):
                self._reporter.prepare()
            self._take_realtime()
            self._drop_privileges()
            if self._notifier.watchdog_interval_s is not None:
                self._alive(self._notifier.watchdog_interval_s)
            if listening is not None:
                listening()
            self._notifier.ready()
            # What is loaded by now lives as long as the process: the collector need not visit it again.
            gc.collect()
            gc.freeze()
            # Last, so that the election need not wait for it.
            if isinstance(self._reporter, Reporter):
                self._reporter.start()
            self._heartbeat()
            self._watch_files()
            self._loop.run_forever()
        finally:
            self._engine.close()
            if self._reporter is not None:
                self._reporter.close()
            if self._control is not None:
                self._control.close()
        return 0

    def _start(self) -> None:
        # A pod that ends is started again, ever later and unexplained: one that stays can report what is wrong.
        stays = bool(self._waiting) or bool(self._config.reporter and self._config.reporter.kubernetes)
        try:
            waiting = self._engine.reload(self._config, waits=True) if stays else self._engine.start(self._config)
        except (ConfigError, StartError) as error:
            if not stays:
                raise
            waiting = {group.name: str(error) for group in self._config.groups}
        self._wait(waiting)

    def _wait(self, why: Mapping[str, str]) -> None:
        """Report what keeps these groups from starting, and try again after a while."""
        running = {snapshot.group for snapshot in self._engine.snapshots()}
        before, self._waiting = self._waiting, {}
        for group in self._config.groups:
            if group.name in why and group.name not in running:
                waiting = failed(group, why[group.name], before.get(group.name))
                self._waiting[group.name] = waiting
                if waiting != before.get(group.name):
                    self._report(waiting)
        reasons = "; ".join(dict.fromkeys(waiting.reason for waiting in self._waiting.values()))
        if reasons and reasons != self._reminder.text:
            self._log_waiting(reasons)
        self._reminder.about(reasons)
        if self._waiting and self._trying_again is None:
            self._trying_again = self._loop.call_later(TRY_AGAIN_S, self._start_again)

    def _log_waiting(self, reasons: str) -> None:
        log(ERROR, "cannot_start", f"{reasons}; tried again each {TRY_AGAIN_S:g} s")

    def _start_again(self) -> None:
        self._trying_again = None
        if self._waiting and not self._stopping:
            self._start()

    def _newest(self) -> list[ToReporter]:
        return [*self._configuration(), *self._engine.snapshots(), *self._waiting.values()]

    def _configuration(self) -> list[Configuration]:
        """One, or none where there are too many groups for a message."""
        message = Configuration(document=reported(self._config))
        return [message] if len(encode(message)) <= MESSAGE_SIZE_MAX else []

    def _take_realtime(self) -> None:
        if not self._config.realtime:
            return
        refused = realtime.take()
        if refused:
            why = "; ".join(f"no {what}: {reason}" for what, reason in refused.items())
            log(WARNING, "realtime_refused", f"realtime is on, but {why}", refused=list(refused))
        else:
            text = f"runs with real-time priority {realtime.PRIORITY} and locked memory"
            log(INFO, "realtime", text, priority=realtime.PRIORITY, locked_memory=True)

    def _drop_privileges(self) -> None:
        # A command may need more than we do, and gets it from the bounding set.
        keep_only(CAPABILITIES, bounding=not _has_hooks(self._config))

    def _watch_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            self._loop.add_signal_handler(number, self._stop, number)
        self._loop.add_signal_handler(signal.SIGUSR1, self._log_status)
        self._loop.add_signal_handler(signal.SIGUSR2, self._step_down)
        if self._reload is not None:
            self._loop.add_signal_handler(signal.SIGHUP, self._reconfigure, self._reload)
        else:
            self._loop.add_signal_handler(signal.SIGHUP, self._stop, signal.SIGHUP)

    def _watch_files(self) -> None:
        if (reload := self._reload) is None:
            return
        in_kubernetes = self._config.reporter is not None and self._config.reporter.kubernetes is not None
        configuration = self._files if in_kubernetes else ()
        self._config_watch = ConfigWatch(
            self._loop,
            lambda: [*configuration, *self._config.passphrase_files],
            in_kubernetes,
            reload,
            lambda: self._config,
            lambda: self._reconfigure(reload),
            lambda: any(snapshot.role == "master" for snapshot in self._engine.snapshots()),
            self._engine.set_drift,
        )

    def _stop(self, number: signal.Signals) -> None:
        if self._stopping:
            self._loop.stop()
            return
        self._stopping = True
        log(INFO, "stopping", f"stopping on {number.name}")
        self._notifier.stopping()
        self._engine.stop()
        self._loop.call_later(LAST_HOOKS_MAX_S, self._loop.stop)
        self._engine.when_idle(self._stop_reporter)

    def _stop_reporter(self) -> None:
        if isinstance(self._reporter, Reporter):
            self._reporter.stop(self._loop.stop)
        else:
            self._loop.stop()

    def _log_status(self) -> None:
        for name, line in self._engine.status_lines():
            log(INFO, "status", line, group=name)

    def _step_down(self) -> None:
        log(INFO, "step_down", "step down requested (SIGUSR2)")
        self._engine.step_down()

    def _reconfigure(self, reload: Callable[[], Config]) -> None:
        if self._stopping:
            return
        self._notifier.reloading()
        if self._config_watch is not None:
            self._config_watch.seen()
        try:
            config = reload()
            self._engine.reload(config, waits=False)
        except (ConfigError, StartError) as error:
            log(ERROR, "reload_failed", f"the new configuration can't be used: {error}")
        else:
            if _has_hooks(config) and not _has_hooks(self._config):
                log(WARNING, "config", "commands that are new run without privileges until the next start")
            if config.realtime != self._config.realtime:
                log(WARNING, "config", "realtime: a change takes effect at the next start")
            if config.reporter is not None and config.reporter != self._config.reporter:
                self._reconfigure_reporter(config.reporter)
            self._config = config
            if self._config_watch is not None:
                self._config_watch.seen()
            for configuration in self._configuration():
                self._report(configuration)
            self._wait({})
            configure(config.log_format, config.log_level)
            for warning in config.warnings:
                log(WARNING, "config", warning)
            log(INFO, "reloaded", "the configuration was read again")
        self._notifier.ready()

    def _reconfigure_reporter(self, settings: ReporterSettings) -> None:
        self._engine.forget_commands()
        self._admission.configure(settings)
        if isinstance(self._reporter, Reporter):
            self._reporter.reconfigure(replace(settings, pid=os.getpid()))

    def _report(self, message: Configuration | GroupSnapshot | GroupGone | Notice) -> None:
        if isinstance(message, GroupSnapshot):
            self._notifier.status(f"{message.group}: {message.role} ({message.reason})")
        if self._reporter is not None:
            self._reporter.send(message)

    def _handle(self, command: ToEngine, answer: Callable[[Result], object]) -> None:
        if isinstance(command, ServiceCommand):
            if refusal := self._engine.services.refusal(command):
                self._admission.refuse(command, refusal, answer)
            else:
                self._engine.services.handle(command, answer)
        elif isinstance(command, SendHeartbeat):
            self._heartbeats.request(command, answer)
        else:
            self._admission.handle(command, answer)

    def _heartbeat(self) -> None:
        self._loop.call_later(HEARTBEAT_S, self._heartbeat)
        self._engine.sample_strangers()
        self._heartbeats.send()

    def _write_heartbeat(self, whole: bool) -> None:
        if self._reporter is not None:
            for heartbeat in self._engine.heartbeats(
                whole, self._reporter.bad_messages, dict(self._admission.refused)
            ):
                self._reporter.send(heartbeat)

    def _alive(self, interval_s: float) -> None:
        self._loop.call_later(interval_s, self._alive, interval_s)
        self._notifier.alive()


def _has_hooks(config: Config) -> bool:
    return any(group.hooks.on_master or group.hooks.on_backup or group.hooks.on_fault for group in config.groups)


def _log_bug(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An event that went wrong must not end the others; asyncio would write it to stderr, and might wait there."""
    error = context.get("exception")
    where = "".join(traceback.format_exception(error)[-2:]) if error else context.get("message")
    log(ERROR, "bug", f"unexpected, please report it: {where}")
