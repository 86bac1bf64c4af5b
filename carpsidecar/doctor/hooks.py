"""Whether the commands that run after a change can be run."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from carpsidecar.config.group import HOOKS
from carpsidecar.doctor.findings import Finding, Status, check, ok
from carpsidecar.doctor.machine import Subject


@check("hooks")
def hooks(subject: Subject) -> Iterator[Finding]:
    fine: dict[str, None] = {}
    reported = set()
    for name in HOOKS:
        command = getattr(subject.config.hooks, name)
        if not command:
            continue
        status, found, remedy = _problem_of(command[0])
        if status is Status.OK:
            fine[command[0]] = None
        elif command[0] not in reported:
            reported.add(command[0])
            yield Finding("", status, f"{name}: {found}", remedy)
    if fine:
        yield ok(f"{', '.join(fine)} can be run")
    elif not reported:
        yield ok("none is configured")


def _problem_of(command: str) -> tuple[Status, str, str]:
    """What running it would come to, as Popen looks for it: a path, or a name in PATH."""
    if "/" in command:
        path = Path(command)
        if not path.exists():
            return Status.PROBLEM, f"{command} does not exist", "check the path; in a container, mount it"
        if not path.is_file():
            return Status.PROBLEM, f"{command} is no file", "give the path of a program or script"
        if not os.access(path, os.X_OK):
            return Status.PROBLEM, f"{command} is not executable", f"chmod +x {command}"
    else:
        found = shutil.which(command)
        if found is None:
            return Status.PROBLEM, f"{command} is in no folder of PATH", "give its full path"
        path = Path(found)
    interpreter = _interpreter(path)
    if interpreter and not os.access(interpreter, os.X_OK):
        return (
            Status.PROBLEM,
            f"{command}: its first line names {interpreter}, which can't be run",
            "correct the first line, or install that; a file with CR LF line ends names it wrongly, too",
        )
    return Status.OK, "", ""


def _interpreter(path: Path) -> str:
    """What a script's first line names (execve(2)); empty for a program."""
    try:
        with path.open("rb") as file:
            first = file.read(256).split(b"\n", 1)[0]
    except OSError:
        return ""
    named = first[2:].strip(b" \t").split() if first.startswith(b"#!") else []
    # CR LF: the carriage return is a part of the name to the kernel, and to us.
    return os.fsdecode(first[2:].strip(b" \t").split(b" ")[0]) if named else ""
