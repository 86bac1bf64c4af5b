"""Small files that outlive engine and machine. Whoever reads one finds the old content or the new one, whole."""

import os
import stat
from pathlib import Path

from carpsidecar.logs import in_words


def folder() -> Path:
    """`STATE_DIRECTORY`, as systemd gives it, or /var/lib/carpsidecar."""
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(given or "/var/lib/carpsidecar")


def read(path: Path, bytes_max: int) -> bytes | None:
    """Its content; None where it is not there.

    Raises:
        OSError: there is something, and it can't be read, is no regular file, or holds more.
    """
    try:
        # Whoever opens a pipe that lies there would wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise OSError(f"{path} can't be read: {in_words(error)}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is no regular file: take it away")
    with os.fdopen(descriptor, "rb") as opened:
        data = opened.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise OSError(f"{path} has more than {bytes_max} bytes: take it away")
    return data


def write(path: Path, data: bytes) -> None:
    """On the disk when it returns. Raises: OSError."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with new.open("wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    _settle(path.parent)


def remove(path: Path) -> None:
    """From the disk when it returns, if it was there. Raises: OSError."""
    try:
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return
    _settle(path.parent)


def _settle(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
