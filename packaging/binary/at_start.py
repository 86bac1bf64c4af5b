"""Run by PyInstaller's executable before the program: what must be put right because it is no plain Python."""

import atexit
import fcntl
import os
import sys
from contextlib import suppress
from pathlib import Path

_UNPACKED = "carpsidecar-unpacked-"


def _restore_environment() -> None:
    """The bootloader points the loader at our libraries; a command that we start must find its machine's own.

    And our second process is to be no less a start than the first, whatever the bootloader noted.
    """
    before = os.environ.pop("LD_LIBRARY_PATH_ORIG", None)
    os.environ.pop("LD_LIBRARY_PATH", None)
    if before is not None:
        os.environ["LD_LIBRARY_PATH"] = before
    for name in [name for name in os.environ if name.startswith("_PYI_")]:
        del os.environ[name]


def _hold(folder: Path) -> int | None:
    """Keep a shared lock on the folder that the libraries are in: it goes when nobody holds it (launcher.c).

    The launcher's lock came with its process; a second program that is started in the folder takes its own, unless
    it is another user's, which lives no longer than who started it.
    """
    given = os.environ.pop("_CARPSIDECAR_LOCK", "")
    if given.isdigit():
        os.set_inheritable(int(given), False)
        return int(given)
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return None
    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return descriptor


def _remove(folder: Path, held: int) -> None:
    """Remove it now, if nobody else holds it, so that it is gone when we are; else the launcher's helper will."""
    with suppress(OSError):
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for parent, folders, files in os.walk(folder, topdown=False):
            for name in files:
                Path(parent, name).unlink()
            for name in folders:
                Path(parent, name).rmdir()
        folder.rmdir()


def _start() -> None:
    _restore_environment()
    folder = Path(sys.executable).parent
    # In a package and in the image the folder is no unpacked one, and stays.
    if not folder.name.startswith(_UNPACKED):
        return
    held = _hold(folder)
    if held is not None:
        atexit.register(_remove, folder, held)
        # A daemon and who started it share one lock: neither can tell whether the other still needs the folder.
        os.register_at_fork(before=lambda: atexit.unregister(_remove))


_start()
