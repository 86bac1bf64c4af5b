"""The reporter's end of the pipe, in the hands of a test."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from carpsidecar.ipc.messages import (
    MESSAGE_SIZE_MAX,
    GroupSnapshot,
    Heartbeat,
    ToEngine,
    ToReporter,
    decode_for_reporter,
    encode,
)
from carpsidecar.lab.node import Node
from tests.support.daemon import Configuration, piped
from tests.support.waits import SOON_S

POD = ("--kubernetes", "--pod-name", "carp-1", "--pod-namespace", "carp", "--pod-selector", "app=carp")
DEMOTES = (*POD, "--node-name", "n1", "--unready-demotion", "240", "--cordon-demotion", "240")
"""What lets a reporter demote for the causes drain, terminating, unready and cordon."""

_Message = TypeVar("_Message", bound=ToReporter)


class Consumer:
    """An engine that runs, and what it tells its reporter."""

    def __init__(self, engine: subprocess.Popen[bytes], connection: socket.socket, log_file: Path) -> None:
        self.engine = engine
        self.connection = connection
        self._log_file = log_file

    @property
    def log(self) -> str:
        return self._log_file.read_text()

    def receive(self, within_s: float = SOON_S) -> ToReporter:
        self.connection.settimeout(within_s)
        return decode_for_reporter(self.connection.recv(MESSAGE_SIZE_MAX))

    def wait_for(self, kind: type[_Message], wanted: Callable[[_Message], bool] = lambda message: True) -> _Message:
        """The next message of this kind that is wanted; others are passed over."""
        deadline = time.monotonic() + SOON_S
        last: ToReporter | None = None
        while True:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError(f"no such {kind.__name__} in {SOON_S} s; the last message: {last}")
            last = self.receive(left_s)
            if isinstance(last, kind) and wanted(last):
                return last

    def wait_for_role(self, role: str, group: str = "vhid-100") -> GroupSnapshot:
        return self.wait_for(GroupSnapshot, lambda snapshot: snapshot.group == group and snapshot.role == role)

    def next_heartbeat(self) -> Heartbeat:
        """One that is sent from now on."""
        now = time.time()
        return self.wait_for(Heartbeat, lambda heartbeat: heartbeat.sent_s >= now)

    def wait_for_log(self, text: str, after: int = 0) -> None:
        """Look for it after that size of the log, heartbeat by heartbeat."""
        self.wait_for(Heartbeat, lambda heartbeat: text in self.log[after:])

    def ask(self, message: ToEngine) -> None:
        self.connection.send(encode(message))

    def stop(self) -> int:
        self.engine.terminate()
        return self.engine.wait(SOON_S)


@contextlib.contextmanager
def consume(node: Node, configuration: Configuration, *flags: str) -> Iterator[Consumer]:
    ours, engines = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MESSAGE_SIZE_MAX)
    log_file = configuration.path.with_suffix(".log")
    module = "tests.network.process.piped_engine"
    argv = [sys.executable, "-m", module, str(engines.fileno()), *configuration.flags, *flags]
    with (
        ours,
        engines,
        log_file.open("wb") as log,
        piped(node, argv, pass_fds=[engines.fileno()], stdout=log, stderr=log) as engine,
    ):
        engines.close()
        yield Consumer(engine, ours, log_file)
