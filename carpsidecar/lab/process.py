"""A program that runs in a node: its log, its signals, and waiting for what it logs, by the kernel's events."""

import contextlib
import ctypes
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from carpsidecar.lab.commands import LabError, environment
from carpsidecar.lab.namespace import in_namespace

_IN_MODIFY = 0x2
_STOPS_WITHIN_S = 10.0
_libc = ctypes.CDLL(None, use_errno=True)


class Process:
    """Started in a process group of its own; standard output and error go to `log_file`.

    A file and not a pipe, so that a busy lab never makes the program wait.
    """

    def __init__(self, namespace: str, argv: Sequence[str], log_file: Path, env: Mapping[str, str] | None) -> None:
        self.argv = list(argv)
        self.log_file = log_file
        # In the namespace from its first moment, so that nothing that is killed there escapes; `ip netns exec` on
        # top of it mounts the node's own /sys.
        with log_file.open("ab") as log, in_namespace(namespace):
            self._popen = subprocess.Popen(
                ["ip", "netns", "exec", namespace, *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environment(dict(env or {})),
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        return self._popen.poll()

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    @property
    def log_size(self) -> int:
        """Where the log ends now, for `wait_for(…, after=…)`."""
        return self.log_file.stat().st_size

    def wait_for(self, wanted: str | re.Pattern[str], timeout_s: float, after: int = 0) -> str:
        """The first log line that contains the text or matches; only lines `after` that size of the log count."""
        pattern = re.compile(re.escape(wanted)) if isinstance(wanted, str) else wanted
        deadline = time.monotonic() + timeout_s
        with _changes_of(self.log_file) as changes, _end_of(self._popen) as end, self.log_file.open("rb") as log:
            log.seek(after)
            unfinished = b""
            while True:
                # Asked before reading: a program's last lines are there before its end.
                ended = bool(select.select([end], [], [], 0)[0])
                *lines, unfinished = (unfinished + log.read()).split(b"\n")
                for line in lines + [unfinished] * ended:
                    text = line.decode(errors="replace")
                    if pattern.search(text):
                        return text
                if ended:
                    raise LabError(f"{self} ended before it logged {pattern.pattern!r}{self._last_lines()}")
                ready, _, _ = select.select([changes, end], [], [], max(0.0, deadline - time.monotonic()))
                if not ready:
                    raise TimeoutError(
                        f"{self} did not log {pattern.pattern!r} in {timeout_s} s{self._last_lines()}"
                    )
                if changes in ready:
                    os.read(changes, 65536)

    def wait(self, timeout_s: float) -> int:
        """Wait for the end; the exit status."""
        try:
            return self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{self} did not end in {timeout_s} s{self._last_lines()}") from None

    def stop(self) -> int:
        """TERM, as systemd and the kubelet do it, and wait; the exit status."""
        self._popen.terminate()
        try:
            return self.wait(_STOPS_WITHIN_S)
        except TimeoutError:
            self.kill()
            raise

    def kill(self) -> None:
        """Kill -9, with its children."""
        self._signal_group(signal.SIGKILL)
        self._popen.wait()

    def hang(self) -> None:
        """Stop the program where it is, as a stalled machine would; `resume` lets it go on."""
        self._signal_group(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_group(signal.SIGCONT)

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _last_lines(self) -> str:
        return "; its last lines:\n" + "\n".join(self.log.splitlines()[-15:])

    def __str__(self) -> str:
        return f"`{' '.join(self.argv)}` (pid {self.pid}, exit status {self.returncode})"


@contextmanager
def _changes_of(file: Path) -> Iterator[int]:
    """An inotify descriptor that becomes readable when the file grows."""
    descriptor = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "inotify_init1: see fs.inotify.max_user_instances")
    try:
        if _libc.inotify_add_watch(descriptor, os.fsencode(file), _IN_MODIFY) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch", str(file))
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _end_of(popen: subprocess.Popen[bytes]) -> Iterator[int]:
    """A descriptor that is readable when the process has ended."""
    running = popen.poll() is None
    descriptor = os.pidfd_open(popen.pid) if running else os.open(os.devnull, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
