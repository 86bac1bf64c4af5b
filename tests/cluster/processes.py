"""Our processes on a node of the cluster."""

from contextlib import suppress
from pathlib import Path

from carpsidecar.lab.commands import run


def ours(namespace: str, command: str) -> list[int]:
    """Those in this network namespace that were started with this command: `run` or `reporter`."""
    found = []
    for pid in run(["ip", "netns", "pids", namespace]).split():
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if words[0].endswith(b"/carpsidecar") and words[1:2] == [command.encode()]:
                found.append(int(pid))
    return found
