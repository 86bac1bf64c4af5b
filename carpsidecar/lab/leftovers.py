"""What a lab leaves behind, found by name: removed at its end, or by the next lab when it was killed with -9."""

import contextlib
import os
import re
import select
import shutil
import signal
from collections.abc import Iterable
from pathlib import Path

from carpsidecar.lab.commands import LabError, run
from carpsidecar.lab.namespace import NAMESPACES

DIRECTORY = Path("/run/carpsidecar-lab")

_KILLED_WITHIN_S = 5.0
_LAB_NAME = re.compile(r"carp(\d+)(\.\d+)?(?=-|$)")


def lab_name(number: int) -> str:
    """The name that all of a lab's namespaces begin with; only a process's second lab needs a number."""
    return f"carp{os.getpid()}" + (f".{number}" if number else "")


def remove_dead_labs() -> None:
    """Remove what labs left whose process is gone."""
    names = [*_names_in(NAMESPACES), *_names_in(DIRECTORY)]
    labs = {match[0]: int(match[1]) for name in names if (match := _LAB_NAME.match(name))}
    for lab, pid in labs.items():
        if not Path(f"/proc/{pid}").exists():
            # A second lab that starts at the same moment may be removing the same things.
            with contextlib.suppress(LabError):
                remove_lab(lab)


def remove_lab(lab: str) -> None:
    """Kill the lab's processes, remove its namespaces with all that is in them, and its files."""
    namespaces = [name for name in _names_in(NAMESPACES) if name.startswith(f"{lab}-")]
    kill_processes_in(namespaces)
    shutil.rmtree(DIRECTORY / lab, ignore_errors=True)
    if namespaces:
        deletions = "".join(f"netns del {name}\n" for name in namespaces)
        run(["ip", "-force", "-batch", "-"], stdin=deletions)


def kill_processes_in(namespaces: Iterable[str]) -> None:
    """Kill -9 whatever runs in these namespaces, children born meanwhile included; return when they are dead."""
    identities = {_identity(NAMESPACES / name) for name in namespaces} - {None}
    while identities and (pids := _processes_in(identities)):
        for pid in pids:
            _kill(pid)


def _kill(pid: int) -> None:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGKILL)
        if not select.select([process], [], [], _KILLED_WITHIN_S)[0]:
            raise LabError(f"process {pid} does not die of SIGKILL: it hangs in the kernel")
    finally:
        os.close(process)


def _processes_in(identities: set[tuple[int, int] | None]) -> list[int]:
    pids = [int(name) for name in _names_in(Path("/proc")) if name.isdigit()]
    return [pid for pid in pids if pid != os.getpid() and _identity(Path(f"/proc/{pid}/ns/net")) in identities]


def _identity(namespace: Path) -> tuple[int, int] | None:
    try:
        found = namespace.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _names_in(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208
    except FileNotFoundError:
        return []
