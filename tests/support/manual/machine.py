"""A machine on which a page's commands run as they stand there: a node of the lab, with files of its own.

What it writes to /etc, /run, /usr/local, /var/lib and so on is seen by it alone, and is gone with it.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from carpsidecar.lab.commands import environment
from carpsidecar.lab.namespace import in_namespace
from carpsidecar.lab.network import Lab
from carpsidecar.lab.process import Process

OWN_FOLDERS = ("/etc", "/usr/local", "/var", "/srv", "/root", "/mnt", "/opt")
"""Each a copy on write of this machine's own."""

_READY_S = 20.0
_COMMAND_S = 60.0


class Machine:
    """`interfaces`: those of the lab's node, in order, each with its addresses in the place of the lab's own."""

    def __init__(self, lab: Lab, name: str, interfaces: list[list[str]]) -> None:
        self.name = name
        self.node = lab.node(name, links=len(interfaces))
        script = ["set -e", f"hostname {name}", "mount -t tmpfs tmpfs /run", "mkdir /run/own"]
        for number, addresses in enumerate(interfaces):
            script.append(f"ip address flush dev eth{number} scope global")
            script += [f"ip address add {one} brd + dev eth{number} nodad" for one in addresses if ":" not in one]
            script += [f"ip address add {one} dev eth{number} nodad" for one in addresses if ":" in one]
        for folder in OWN_FOLDERS:
            upper, work = f"/run/own/upper{folder}", f"/run/own/work{folder}"
            script.append(f"mkdir -p {upper} {work}")
            options = f"lowerdir={folder},upperdir={upper},workdir={work}"
            script.append(f"mount -t overlay overlay -o {options} {folder}")
        # A shell, and not `sleep` alone, since the first process is to collect those that end.
        script += ["echo ready", "while sleep 3600; do :; done"]
        apart = ["unshare", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"]
        holder = self.node.start([*apart, "sh", "-c", "\n".join(script)])
        holder.wait_for("ready", _READY_S)
        children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children")
        self._init = int(children.read_text().split()[0])

    def run(self, command: str, *, check: bool = True) -> str:
        """Run a shell command to its end; what it printed, standard error last.

        Raises:
            AssertionError: it failed, and was not to.
        """
        ended = subprocess.run(
            self._inside("-s"),
            # A script and not an argument: a command that looks for processes by their words is not to find itself.
            input=command,
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_S,
            env=_environment(),
        )
        output = ended.stdout + ended.stderr
        if check and ended.returncode:
            raise AssertionError(f"{self.name}: {command}\nexit status {ended.returncode}, its output:\n{output}")
        return output

    def start(self, command: str) -> Process:
        """Start a shell command that goes on, as in a terminal of its own."""
        path = _environment()["PATH"]
        return self.node.start(["env", *_WITHOUT, f"PATH={path}", *self._inside("-c", command)])

    def write(self, path: str, text: str) -> None:
        """Write a file, in a folder that may have to be made."""
        folder, file = shlex.quote(str(Path(path).parent)), shlex.quote(path)
        with in_namespace(self.node.ns):
            subprocess.run(
                self._inside("-c", f"mkdir -p {folder} && cat >{file}"),
                input=text,
                text=True,
                check=True,
                env=_environment(),
            )

    def _inside(self, *shell: str) -> list[str]:
        enter = ["nsenter", "--target", str(self._init), "--mount", "--uts", "--pid", "--net"]
        return [*enter, "--wd=/root", "sh", "-e", *shell]


_OF_THE_LAB = ("RUNTIME_DIRECTORY", "STATE_DIRECTORY")
"""What the lab gives to its nodes, so that they don't share folders; here each has the real ones to itself."""

_WITHOUT = [word for name in _OF_THE_LAB for word in ("-u", name)]


def _environment() -> dict[str, str]:
    """With the command `carpsidecar` in PATH, and nothing of ours set that a reader would not have."""
    kept = {name: value for name, value in environment().items() if name not in _OF_THE_LAB}
    kept = {name: value for name, value in kept.items() if not name.startswith("CARP")}
    path = [str(Path(sys.executable).parent), "/usr/local/sbin", kept["PATH"]]
    return {**kept, "PATH": os.pathsep.join(path), "HOME": "/root", "LC_ALL": "C.UTF-8"}
