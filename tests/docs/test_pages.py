"""The manual on a branch of its own, a folder a version; the front page leads to the newest release."""

import os
import subprocess
from pathlib import Path

from docs.tools.registry import EXAMPLE
from tests.support.manual.page import SOURCE


def publish(version: str, remote: Path) -> None:
    done = subprocess.run(
        [str(SOURCE / ".ci/pages"), version, str(remote)],
        env={**os.environ, "REGISTRY": "ghcr.io/somebody"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def files(remote: Path) -> set[str]:
    command = ["git", "-C", str(remote), "ls-tree", "-r", "--name-only", "gh-pages"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines())


def page(name: str, remote: Path) -> str:
    command = ["git", "-C", str(remote), "show", f"gh-pages:{name}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_versions_stand_beside_each_other(tmp_path: Path) -> None:
    remote = tmp_path / "remote.git"
    subprocess.run(["git", "init", "--quiet", "--bare", remote], check=True)
    publish("main", remote)
    assert "url=main/index.html" in page("index.html", remote)
    talos = page("main/recipes/talos.html", remote)
    assert "ghcr.io/somebody/carpsidecar:" in talos
    assert EXAMPLE not in talos
    for version in ("1.10.0", "1.9.0"):
        publish(version, remote)
    assert {"main/index.html", "1.9.0/install.html", "1.10.0/index.html", "versions.html", ".nojekyll"} <= files(
        remote
    )
    assert "url=1.10.0/index.html" in page("index.html", remote)
    # Again, with nothing new.
    publish("1.9.0", remote)
