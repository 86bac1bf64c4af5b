"""Whether a carpsidecar serves a group on this machine, and since when: by its instance lock (`engine.startup`)."""

import time
from contextlib import suppress
from dataclasses import dataclass
from os import sysconf
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Daemon:
    """`pid` and `age_s` are None where we may not look into other processes."""

    pid: int | None
    age_s: float | None


def find_daemon(interface: str, vhid: int) -> Daemon | None:
    """Who holds the lock of this group. Source: proc(5), /proc/net/unix and /proc/pid/stat."""
    name = f"@carpsidecar/{interface}/{vhid}"
    for line in Path("/proc/net/unix").read_text(errors="replace").splitlines():
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and fields[7] == name:
            pid = _owner(fields[6])
            return Daemon(pid, _age_s(pid) if pid is not None else None)
    return None


def _owner(inode: str) -> int | None:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with suppress(OSError):
                    if str(descriptor.readlink()) == f"socket:[{inode}]":
                        return int(process.name)
    return None


def _age_s(pid: int) -> float | None:
    try:
        started = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / sysconf("SC_CLK_TCK")
