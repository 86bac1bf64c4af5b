"""A check that is a command: without a shell, in a session of its own, of which nothing is left afterwards."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from logging import DEBUG

from carpsidecar.linux.child import child_environment, end_of
from carpsidecar.logs import in_words, log

_LINE_MAX = 200
_READ_SIZE = 1 << 16


class Command:
    """Call it to run it. While a run can't even be killed, as on a file system that hangs, there is no other."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = arguments
        self._former: subprocess.Popen[bytes] | None = None

    async def __call__(self) -> str | None:
        """None where its exit status is 0. Cancelled, or at its end, it and its children are killed."""
        if self._former is not None and self._former.poll() is None:
            return "the last run of it hangs, and can't be killed"
        try:
            process = subprocess.Popen(
                self._arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=child_environment(),
                start_new_session=True,
            )
        except OSError as error:
            return (
                f"{self._arguments[0]} can't be run ({in_words(error)}): check its path, and that it is executable"
            )
        except ValueError as error:
            return f"{self._arguments[0]!r} can't be run: {error}"
        self._former = process
        assert process.stdout is not None
        with process.stdout, _Output(process.stdout.fileno()) as output:
            try:
                await _exit_of(process)
            finally:
                _kill(process)
            output.read()
        if output.first_line:
            log(DEBUG, "check_output", f"{self._arguments[0]} printed: {output.first_line}")
        status = process.wait()
        if status == 0:
            return None
        return f"exit status {status}" if status > 0 else f"it was ended by {signal.Signals(-status).name}"


def _kill(process: subprocess.Popen[bytes]) -> None:
    # Before it is waited for: until then its number belongs to nobody else. A child that runs on is meant, too.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


async def _exit_of(process: subprocess.Popen[bytes]) -> None:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    descriptor = end_of(process.pid)

    def notify() -> None:
        loop.remove_reader(descriptor)
        ended.set_result(None)

    loop.add_reader(descriptor, notify)
    try:
        await ended
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


class _Output:
    """Reads it all, so that the command is not held up, and keeps the first line of it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._kept = b""

    @property
    def first_line(self) -> str:
        return self._kept.partition(b"\n")[0].decode(errors="replace").strip()

    def __enter__(self) -> "_Output":
        os.set_blocking(self._descriptor, False)
        asyncio.get_running_loop().add_reader(self._descriptor, self.read)
        return self

    def __exit__(self, *exception: object) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)

    def read(self) -> None:
        try:
            data = os.read(self._descriptor, _READ_SIZE)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(self._descriptor)
        self._kept += data[: _LINE_MAX - len(self._kept)]
