"""The rpms, by rpm alone in a root where nothing else is. Their scripts are run by tests/binary/test_systemd.py."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from carpsidecar import __version__
from tests.binary.conftest import built
from tests.binary.emulator import needs_arm64

DATABASE = "rpmdb"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    if os.geteuid() != 0 or not shutil.which("rpm"):
        pytest.skip("needs root and rpm")
    root = tmp_path / "root"
    (root / "proc").mkdir(parents=True)
    rpm(root, "--initdb")
    return root


def rpm(root: Path, *arguments: str) -> str:
    command = ["rpm", "--root", str(root), "--dbpath", f"/{DATABASE}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if not path.is_dir() and path.parts[len(root.parts)] != DATABASE]


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_it_is_whole_runs_without_anything_else_and_leaves_nothing(root: Path, machine: str) -> None:
    package = str(built(f"carpsidecar-*.{machine}.rpm"))
    if machine != platform.machine():
        needs_arm64()
    assert "digests OK" in rpm(root, "--checksig", package)
    # No /bin/sh and no package that it could depend on is there.
    rpm(root, "--install", "--nodeps", "--noscripts", "--ignorearch", package)
    assert rpm(root, "--verify", "--nodeps", "carpsidecar") == ""
    enter = 'mount -t proc proc "$0/proc" && exec chroot "$0" /usr/bin/carpsidecar version'
    command = ["unshare", "--mount", "sh", "-c", enter, str(root)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith(f"carpsidecar {__version__}\n")
    rpm(root, "--erase", "--noscripts", "carpsidecar")
    assert files(root) == []
    assert not list(root.rglob("*carpsidecar*"))
