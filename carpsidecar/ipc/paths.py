"""Where the control sockets are: one for each engine, named after its process, in the runtime directory."""

import os
from pathlib import Path


def runtime_directory() -> Path:
    """`RUNTIME_DIRECTORY`, as systemd gives it, or /run/carpsidecar."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(given or "/run/carpsidecar")


def socket_of(pid: int) -> Path:
    """The control socket of the engine that is this process."""
    return runtime_directory() / f"{pid}.sock"


def sockets() -> list[Path]:
    """Those in the runtime directory, and in the folders in it that systemd makes, one for each unit.

    Raises:
        OSError: a folder can't be read.
    """
    found: list[Path] = []
    for entry in _entries(runtime_directory()):
        if entry.name.endswith(".sock"):
            found.append(Path(entry))
        elif entry.is_dir():
            found += [Path(below) for below in _entries(Path(entry)) if below.name.endswith(".sock")]
    return sorted(found)


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
