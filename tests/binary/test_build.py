"""How the binary is built: twice the same, and with completions that know every command."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from carpsidecar.cli import COMMANDS
from tests.binary.conftest import OF_A_RELEASE, SOURCE

PYTHON = SOURCE / "build" / "venv" / "bin" / "python"


def build(folder: Path) -> bytes:
    """Build it from the copy of the source in this folder."""
    env = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000", "CARPSIDECAR_COMMIT": "0123456789ab"}
    packaging = folder / "packaging" / "binary"
    subprocess.run([PYTHON, packaging / "tree.py", folder / "tree"], env=env, capture_output=True, check=True)
    pack = [PYTHON, packaging / "build.py", folder / "binary", folder / "tree"]
    subprocess.run(pack, env=env, capture_output=True, check=True)
    return (folder / "binary").read_bytes()


@pytest.mark.skipif(not OF_A_RELEASE, reason="takes a minute: make release-test")
def test_two_builds_are_equal(binary: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "another folder"
    for name in ("carpsidecar", "cmd", "packaging"):
        shutil.copytree(SOURCE / name, one / name, ignore=shutil.ignore_patterns("__pycache__", ".mypy_cache"))
    shutil.copytree(one, other)
    assert build(one) == build(other)


@pytest.fixture
def completions(binary: Path, tmp_path: Path) -> Path:
    if not (PYTHON.parent / "shtab").exists():
        pytest.skip("build/venv is not there: make binary")
    command = [PYTHON, SOURCE / "packaging" / "completions.py", tmp_path]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(SOURCE)}, check=True)
    return tmp_path


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_each_shell_knows_every_command_and_setting(completions: Path, name: str) -> None:
    text = (completions / name).read_text()
    assert all(command in text for command in COMMANDS)
    assert all(flag in text for flag in ("advskew", "passphrase-file", "upscript"))


def test_bash_completes(completions: Path) -> None:
    script = f"""
        source {completions}/bash
        COMP_WORDS=(carpsidecar run --passphrase-fi) COMP_CWORD=2
        _shtab_carpsidecar
        echo "${{COMPREPLY[@]}}"
    """
    shown = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["--passphrase-file"]
