"""The manual on a branch of its own, a folder a version; the front page leads to the newest release."""

import subprocess
from pathlib import Path

from tests.support.manual.page import SOURCE


def publish(version: str, remote: Path) -> None:
    done = subprocess.run(
        [str(SOURCE / ".ci/pages"), version, str(remote)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def files(remote: Path) -> set[str]:
    command = ["git", "-C", str(remote), "ls-tree", "-r", "--name-only", "gh-pages"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines())


def front_page(remote: Path) -> str:
    command = ["git", "-C", str(remote), "show", "gh-pages:index.html"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_versions_stand_beside_each_other(tmp_path: Path) -> None:
    remote = tmp_path / "remote.git"
    subprocess.run(["git", "init", "--quiet", "--bare", remote], check=True)
    publish("main", remote)
    assert "url=main/index.html" in front_page(remote)
    for version in ("1.10.0", "1.9.0"):
        publish(version, remote)
    assert {"main/index.html", "1.9.0/install.html", "1.10.0/index.html", "versions.html", ".nojekyll"} <= files(
        remote
    )
    assert "url=1.10.0/index.html" in front_page(remote)
    # Again, with nothing new.
    publish("1.9.0", remote)
