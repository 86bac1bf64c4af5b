"""A containerd of the tests' own, which runs a container on the network of a node of the lab."""

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process

START_MAX_S = 30.0

# What a container gets by default, all of which `capabilities: {drop: [ALL]}` takes away.
_DEFAULT = "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE"
DEFAULT_CAPABILITIES = (*_DEFAULT.split(), "SYS_CHROOT", "KILL", "AUDIT_WRITE")

_CONFIG = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{folder}/socket"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
"""


class Containerd:
    """Running, with its files in this folder."""

    def __init__(self, folder: Path) -> None:
        self._ctr = ["ctr", "--address", str(folder / "socket")]

    def ctr(self, *arguments: str) -> str:
        done = subprocess.run([*self._ctr, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(
        self,
        node: Node,
        image: str,
        name: str,
        command: Sequence[str] = (),
        *,
        env: Mapping[str, str] | None = None,
    ) -> Process:
        """Run it as the chart's security context has it: a read-only root, seccomp, no new privileges, and of the
        capabilities only the two; with the network of the node.
        """
        keep = ("NET_ADMIN", "NET_RAW")
        flags = ["--rm", "--snapshotter", "native", "--read-only", "--seccomp"]
        flags += [f"--cap-drop=CAP_{one}" for one in DEFAULT_CAPABILITIES if one not in keep]
        flags += [f"--cap-add=CAP_{one}" for one in keep]
        flags += [f"--with-ns=network:/run/netns/{node.ns}"]
        flags += [f"--env={key}={value}" for key, value in (env or {}).items()]
        # Without a command it is the image's own; `ctr` wants the entry point with one.
        return node.start([*self._ctr, "run", *flags, image, name, *command])


@contextmanager
def containerd(folder: Path) -> Iterator[Containerd]:
    """Start it, and end it with all that it runs."""
    folder.mkdir()
    config = folder / "config.toml"
    config.write_text(_CONFIG.format(folder=folder))
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(["containerd", "--config", config], stdout=log, stderr=log)
    try:
        running = Containerd(folder)
        deadline = time.monotonic() + START_MAX_S
        while subprocess.run([*running._ctr, "version"], capture_output=True, check=False).returncode:
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(f"containerd did not start: {(folder / 'log').read_text()[-1000:]}")
            time.sleep(0.05)
        yield running
        for container in running.ctr("containers", "list", "--quiet").split():
            subprocess.run([*running._ctr, "tasks", "kill", "--signal", "9", container], check=False)
    finally:
        daemon.terminate()
        daemon.wait(START_MAX_S)
