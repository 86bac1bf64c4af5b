"""The image, run by containerd as the chart has it run."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from carpsidecar import __version__
from carpsidecar.lab.network import Lab
from tests.binary.conftest import IMAGE_ARCHIVE, built
from tests.binary.containers import Containerd, containerd
from tests.binary.image import Image
from tests.support.waits import SOON_S

VIP = "10.99.0.100"
IMAGE = f"localhost/carpsidecar:{__version__}"


@pytest.fixture(scope="module")
def archive() -> Path:
    return built(IMAGE_ARCHIVE)


@pytest.fixture
def runtime(archive: Path, tmp_path: Path) -> Iterator[Containerd]:
    if os.geteuid() != 0 or not shutil.which("containerd") or not shutil.which("runc"):
        pytest.skip("needs root, containerd and runc")
    with containerd(tmp_path / "containerd") as running:
        running.ctr("images", "import", "--snapshotter", "native", str(archive))
        yield running


def test_it_floats_an_address(lab: Lab, runtime: Containerd) -> None:
    name = f"{lab.name}-one"
    settings = {"CARP_VIP": VIP, "CARP_INTERFACE": "eth0", "CARP_ADVBASE": "0", "CARP_ADVSKEW": "40"}
    node = lab.node("one")
    one = runtime.start(node, IMAGE, name, env={**settings, "CARP_PASSPHRASE": "in a container"})
    one.wait_for("became master", SOON_S)
    assert f" {VIP}/32 " in node.run(["ip", "address", "show"])
    status = Path(f"/proc/{pid_of(runtime, name)}/status").read_text()
    assert value(status, "NoNewPrivs") == "1"
    assert value(status, "Seccomp") == "2"
    assert int(value(status, "CapEff"), 16) == 1 << 12 | 1 << 13
    runtime.ctr("tasks", "kill", "--signal", signal.SIGTERM.name, name)
    assert one.wait(SOON_S) == 0
    assert VIP not in node.run(["ip", "address", "show"])


def test_it_starts_soon(lab: Lab, runtime: Containerd) -> None:
    name = f"{lab.name}-soon"
    env = {"CARP_PASSPHRASE": "in a container", "CARP_VIP": VIP, "CARP_INTERFACE": "eth0"}
    one = runtime.start(lab.node("one"), IMAGE, name, env=env)
    one.wait_for("became backup", SOON_S)
    ran_s = int(Path(f"/proc/{pid_of(runtime, name)}/schedstat").read_text().split()[0]) / 1e9
    runtime.ctr("tasks", "kill", "--signal", signal.SIGTERM.name, name)
    one.wait(SOON_S)
    # Of the processor, since other tests may have the machine at the same time.
    assert ran_s <= 0.5


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_any_user_may_run_what_needs_no_privilege(archive: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    Image(archive).unpack(root)
    (root / "proc").mkdir()
    enter = 'mount -t proc proc "$0/proc" && exec chroot --userspec=65534:65534 "$0" /carpsidecar version'
    command = ["unshare", "--mount", "sh", "-c", enter, str(root)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"carpsidecar {__version__}\n")


def pid_of(runtime: Containerd, name: str) -> int:
    tasks = [line.split() for line in runtime.ctr("tasks", "list").splitlines()]
    return next(int(columns[1]) for columns in tasks if columns[0] == name)


def value(status: str, name: str) -> str:
    return next(line.split()[1] for line in status.splitlines() if line.startswith(f"{name}:"))
