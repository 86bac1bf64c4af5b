"""A Debian or Ubuntu with systemd as its first process, on the network of a node of the lab."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from carpsidecar.lab.node import Node
from tests.binary.conftest import SOURCE
from tests.support.waits import wait_until

BOOT_MAX_S = 60.0
PACKAGES = "systemd,procps,bash-completion,ifupdown,iproute2"
UBUNTU = ("noble",)
ROOTS = Path(os.environ.get("CARPSIDECAR_ROOTS", SOURCE / "build"))
"""Where the unpacked systems are kept."""


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


def make_tree(root: Path, suite: str = "bookworm", packages: str = "") -> None:
    """Unpack the system, which is made at the first time; the test is skipped where it can't be."""
    if os.geteuid() != 0 or not shutil.which("systemd-nspawn") or not shutil.which("mmdebstrap"):
        pytest.skip("needs root, systemd-nspawn and mmdebstrap")
    archive = ROOTS / f"machine-{suite}{packages and '-'}{packages}.tar"
    if not archive.exists():
        flags = ["--variant=minbase", f"--include={PACKAGES}{packages and ','}{packages}"]
        if suite in UBUNTU:
            flags += ["--components=main,universe", f"--keyring={_ubuntu_key()}"]
        bootstrap(archive, suite, *flags)
    root.mkdir()
    subprocess.run(["tar", "-C", str(root), "-xf", str(archive)], check=True)


def _ubuntu_key() -> Path:
    """Ubuntu's key, out of a package of Debian 13, whose own key is here."""
    key = ROOTS / "ubuntu-archive-keyring.gpg"
    if not key.exists():
        archive = ROOTS / "keys.tar"
        bootstrap(archive, "trixie", "--variant=extract", "--include=ubuntu-keyring")
        command = [
            "tar",
            "-C",
            str(ROOTS),
            "--strip-components=4",
            "-xf",
            str(archive),
            f"./usr/share/keyrings/{key.name}",
        ]
        subprocess.run(command, check=True)
        archive.unlink()
    # apt reads it as a user of its own, who may not look into the folder.
    copy = Path(tempfile.gettempdir(), key.name)
    shutil.copy(key, copy)
    copy.chmod(0o644)
    return copy


def bootstrap(archive: Path, suite: str, *flags: str) -> None:
    """Have mmdebstrap make the archive; the test is skipped where it can't, with its first error as the reason."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    unfinished = archive.with_suffix(".part.tar")
    command = ["mmdebstrap", *flags, suite, str(unfinished)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        unfinished.unlink(missing_ok=True)
        errors = [line for line in made.stderr.splitlines() if line.startswith("E: ")]
        pytest.skip(f"{archive.name} can't be made here: {errors[0] if errors else 'mmdebstrap failed'}")
    unfinished.rename(archive)


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
