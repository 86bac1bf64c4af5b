"""Child processes: their environment, and how a loop learns without a signal handler that one has ended."""

import errno
import os
import threading


def child_environment() -> dict[str, str]:
    """Ours, without the passphrase and where it is found."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CARP_PASSPHRASE")}


def end_of(pid: int) -> int:
    """A descriptor, for the caller to close, that becomes readable when this child of ours has ended.

    Source: pidfd_open(2), from Linux 5.3 on. On an older one, or where a container forbids the call, it is a pipe
    that a thread closes.

    Raises:
        OSError: no descriptor is left.
    """
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
    readable, closed_at_the_end = os.pipe()
    threading.Thread(target=_wait, args=(pid, closed_at_the_end), daemon=True).start()
    return readable


def _wait(pid: int, descriptor: int) -> None:
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    os.close(descriptor)
