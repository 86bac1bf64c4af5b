"""A Debian with systemd as its first process, on the network of a node of the lab."""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from carpsidecar.lab.node import Node
from tests.support.waits import wait_until

BOOT_MAX_S = 60.0
PACKAGES = "systemd,procps,bash-completion"


class Machine:
    """Running; `root` is its file system, seen from here."""

    def __init__(self, root: Path, init: int) -> None:
        self.root = root
        self._init = init

    def run(self, command: str, *, check: bool = True) -> str:
        """Run a shell command in it, as root; what it printed."""
        enter = ["nsenter", "--target", str(self._init), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        ended = subprocess.run([*enter, "sh", "-c", command], capture_output=True, text=True, check=False)
        if check and ended.returncode:
            raise AssertionError(f"{command}: exit status {ended.returncode}\n{ended.stdout}{ended.stderr}")
        return ended.stdout

    def show(self, unit: str, setting: str) -> str:
        return self.run(f"systemctl show --value --property {setting} {unit}").strip()


def make_tree(archive: Path, root: Path) -> None:
    """Unpack the Debian, which is made at the first time."""
    if not archive.exists():
        unfinished = archive.with_suffix(".part")
        archive.parent.mkdir(exist_ok=True)
        command = ["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", "--format=tar", "bookworm"]
        subprocess.run([*command, str(unfinished)], check=True, capture_output=True)
        unfinished.rename(archive)
    root.mkdir()
    subprocess.run(["tar", "-C", str(root), "-xf", str(archive)], check=True)


@contextmanager
def booted(node: Node, root: Path) -> Iterator[Machine]:
    """The tree, booted on the node's network. It sees no other machine of the lab but over that."""
    command = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--link-journal=no", "--boot"]
    # The capability is left out of a container whose network is not its own.
    command += ["--capability=CAP_NET_ADMIN", f"--network-namespace-path=/run/netns/{node.ns}", "-D", str(root)]
    with (root.parent / "console").open("wb") as console:
        container = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console)
    try:
        yield _up(root, container)
    finally:
        container.send_signal(signal.SIGTERM)
        try:
            container.wait(BOOT_MAX_S)
        except subprocess.TimeoutExpired:
            container.kill()
            container.wait()
        shutil.rmtree(root, ignore_errors=True)


def _up(root: Path, container: subprocess.Popen[bytes]) -> Machine:
    deadline = time.monotonic() + BOOT_MAX_S
    children = Path(f"/proc/{container.pid}/task/{container.pid}/children")
    while time.monotonic() < deadline and container.poll() is None:
        for init in children.read_text().split():
            machine = Machine(root, int(init))
            if machine.run("systemctl is-system-running", check=False).strip() in ("running", "degraded"):
                return machine
        time.sleep(0.1)
    raise TimeoutError(f"systemd did not start: {(root.parent / 'console').read_text(errors='replace')[-2000:]}")


def wait_for_log(machine: Machine, wanted: str) -> str:
    """The unit's journal, as soon as it has this."""
    log = ""

    def there() -> bool:
        nonlocal log
        log = machine.run("journalctl --unit carpsidecar --no-pager", check=False)
        return wanted in log

    wait_until(there, f"`{wanted}` in the journal")
    return log
