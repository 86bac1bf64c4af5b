"""Which groups an operator drained on this machine: a file each, which outlives reporter, engine and machine.

The reporter writes and removes them; the engine reads one when a group starts, so that a drained node that starts
again does not take the address for a moment.
"""

import os
import stat
from pathlib import Path

import msgspec

from carpsidecar.ipc.messages import TEXT_MAX, Text
from carpsidecar.logs import in_words
from carpsidecar.protocol.timing import ADVSKEW_DEMOTED

CAUSE = "operator"
"""Of the demotion."""
DEMOTION = ADVSKEW_DEMOTED
NODE = ".node"
"""In the place of a group's name, which does not begin with a dot: the machine is drained, and so is every group of
Services' addresses that comes later."""

_FILE_MAX_BYTES = 4096


def folder() -> Path:
    """`STATE_DIRECTORY`, as systemd gives it, or /var/lib/carpsidecar; in it, `drained`."""
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(given or "/var/lib/carpsidecar", "drained")


def reason(group: str) -> str | None:
    """Why it is drained, as the operator gave it, which may be empty; None where it is not drained.

    Raises:
        OSError: there is something, and it is no file with a line of text. It is best taken for a drain: an address
            that stays away is better than one that comes unasked.
    """
    path = folder() / group
    try:
        # Whoever opens a pipe that lies there would wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise OSError(f"{path} can't be read: {in_words(error)}") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is no regular file: take it away, and drain or undrain the group")
        data = os.read(descriptor, _FILE_MAX_BYTES)
    finally:
        os.close(descriptor)
    try:
        return msgspec.convert(data.decode().removesuffix("\n"), Text)
    except (UnicodeDecodeError, msgspec.ValidationError):
        raise OSError(f"{path} holds no line of at most {TEXT_MAX} printable characters") from None


def write(group: str, why: str) -> None:
    """
    Raises:
        OSError: it can't be written, and the drain holds until the engine's end only.
    """
    where = folder()
    where.mkdir(mode=0o755, parents=True, exist_ok=True)
    new = where / f".{group}.{os.getpid()}"
    try:
        with new.open("w") as file:
            file.write(f"{why}\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(where / group)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    _settle(where)


def remove(group: str) -> None:
    """
    Raises:
        OSError: it can't be removed, and drains the group again at the engine's next start.
    """
    where = folder()
    try:
        (where / group).unlink()
    except (FileNotFoundError, NotADirectoryError):
        return
    _settle(where)


def _settle(where: Path) -> None:
    """On the disk, before it is reported."""
    descriptor = os.open(where, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
