"""The lab's own tools (ip, nft): run in a namespace without a process more than needed, and checked."""

import contextlib
import os
import subprocess
from collections.abc import Sequence

from carpsidecar.lab.namespace import in_namespace


class LabError(Exception):
    """Something in the lab itself went wrong: what was tried, and what was answered."""


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """This process's environment, with the system tools in PATH: a plain user's PATH lacks them on Debian."""
    path = os.environ.get("PATH", os.defpath)
    return {**os.environ, "PATH": f"{path}:/usr/sbin:/sbin", **(extra or {})}


def run(
    argv: Sequence[str], *, namespace: str | None = None, stdin: str = "", env: dict[str, str] | None = None
) -> str:
    """Run a command to its end and return what it printed. /sys stays that of this process."""
    with in_namespace(namespace) if namespace else contextlib.nullcontext():
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(env),
        )
    try:
        out, err = process.communicate(stdin)
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.returncode:
        output = (err + out).strip() or "nothing"
        where = f" in {namespace}" if namespace else ""
        raise LabError(f"{' '.join(argv)}{where}: exit status {process.returncode}, its output: {output}\n{stdin}")
    return out


def ip_batch(lines: Sequence[str], *, namespace: str | None = None) -> None:
    """Many `ip` commands in one process."""
    run(["ip", "-batch", "-"], namespace=namespace, stdin="\n".join(lines) + "\n")
