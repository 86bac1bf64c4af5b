"""The command under test: carpsidecar from this checkout, unless `CARPSIDECAR_COMMAND` names another."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.unprivileged import UNPRIVILEGED

COMMAND = shlex.split(os.environ.get("CARPSIDECAR_COMMAND", "")) or [sys.executable, "-m", "carpsidecar"]


def shell(*arguments: str, unprivileged: bool = False) -> "subprocess.CompletedProcess[str]":
    """Run it as a user would, and wait for its end."""
    return subprocess.run(
        [*(UNPRIVILEGED if unprivileged else ()), *COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("CARP_")},
    )


@pytest.fixture
def passphrase_file(tmp_path: Path) -> str:
    path = tmp_path / "passphrase"
    path.write_text("secret\n")
    path.chmod(0o600)
    return str(path)
