"""Going into the background, without leaving before it is known whether the start succeeds."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress

LISTENING = 0


def run_in_background(body: Callable[[Callable[[], None]], int], died: int) -> int:
    """Run `body` as a daemon, and return to the caller as soon as the daemon listens, or ended without.

    Args:
        body: runs the daemon and returns its exit status; it calls what it is given once it listens, and until then
            it may write to the caller's stderr.
        died: the exit status where the daemon ended without leaving one.

    Returns:
        0 where the daemon listens, else its exit status.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        status = died
        # Whatever happens, the copy must never go on with what its parent does next.
        try:
            os.close(reading)
            os.setsid()
            # A second time, so that no session leader is left, which could get a terminal again.
            status = 0 if os.fork() else _daemon(body, writing)
        finally:
            os._exit(status)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        word = pipe.read(1)
    return word[0] if word else died


def _daemon(body: Callable[[Callable[[], None]], int], writing: int) -> int:
    reported = False

    def report(status: int) -> None:
        nonlocal reported
        if not reported:
            reported = True
            with suppress(BrokenPipeError):  # whoever started us did not wait
                os.write(writing, bytes([status & 0xFF]))
            os.close(writing)

    def listening() -> None:
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        if nothing > 2:
            os.close(nothing)
        report(LISTENING)

    os.chdir("/")
    status = body(listening)
    sys.stdout.flush()
    sys.stderr.flush()
    report(status)
    return status
