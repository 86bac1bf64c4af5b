"""The parent of the reporters: it has their user and no privilege, and starts one for each socket that it is sent.

The engine starts it before it gives up its power to change users, and could start no reporter under another user
later. It dies with the engine, and leaves no reporter.
"""

import gc
import os
import select
import signal
import socket
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from carpsidecar.ipc.starter import KILL, START
from carpsidecar.linux.child import end_of

LAST_WRITES_MAX_S = 5.0
"""How long a reporter may live on without its engine."""
PARTS = {
    "http": "carpsidecar.reporter.http.server",
    "checks": "carpsidecar.reporter.health.checks",
    "kubernetes": "carpsidecar.reporter.kubernetes",
}
"""What only some reporters need."""
_IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


class ReporterChild:
    """A reporter that runs on this descriptor, which it takes over."""

    def __init__(self, descriptor: int) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            _be_reporter(descriptor)
        os.close(descriptor)
        self.end = end_of(self.pid)
        """Readable when it has ended."""

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit status; a signal's number, negative."""
        os.close(self.end)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def load(parts: Sequence[str]) -> None:
    """What the reporters will need, while this still is a user who may read it."""
    for module in ("carpsidecar.reporter.process", *(PARTS[part] for part in parts)):
        import_module(module)
    if parts:
        import_module("encodings.idna")  # for the names of hosts
    # What is in memory by now is shared with each reporter, as long as no collector goes through it.
    gc.collect()
    gc.freeze()


def run(control: socket.socket) -> int:
    """Start reporters until the engine closes its end, and leave none."""
    child: ReporterChild | None = None
    while True:
        watched = [control.fileno()] if child is None else [control.fileno(), child.end]
        ready, _, _ = select.select(watched, [], [])
        if child is not None and child.end in ready:
            status, child = child.wait(), None
            with suppress(OSError):  # the engine has ended meanwhile
                control.send(b"ended %d" % status)
        if control.fileno() not in ready:
            continue
        try:
            message, descriptors, _, _ = socket.recv_fds(control, 16, 1)
        except OSError:
            break
        if not message:
            break
        if message == START and child is None:
            child = ReporterChild(descriptors[0])
        elif message == KILL and child is not None:
            child.kill()
    if child is not None:
        select.select([child.end], [], [], LAST_WRITES_MAX_S)
        child.kill()
        child.wait()
    return 0


def _be_reporter(descriptor: int) -> None:
    status = 1
    # Whatever happens, the copy must never go on with what its parent does next.
    try:
        signal.set_wakeup_fd(-1)
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        os.closerange(3, descriptor)
        os.closerange(descriptor + 1, descriptor + 64)
        from carpsidecar.reporter.process import run as report

        status = report(socket.socket(fileno=descriptor))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
