"""Being a user without privileges: a checkout in a private folder can not be run by one."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

UNPRIVILEGED = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
WITH_TWO_CAPABILITIES = (
    *("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"),
    *("--inh-caps", "-all,+net_admin,+net_raw", "--ambient-caps", "+net_admin,+net_raw"),
)
"""With what a systemd unit gives the engine."""
WHY_NOT = "needs root, setpriv, and a checkout and an interpreter that every user may read"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that every user may read. pytest's own are root's alone, and each run that starts sees to that anew."""
    with tempfile.TemporaryDirectory(prefix="carp-open-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def can_be_unprivileged() -> bool:
    """Whether we may become another user, and that user may run carpsidecar from here."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        return False
    command = [*UNPRIVILEGED, "--inh-caps=-all", sys.executable, "-m", "carpsidecar", "version"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
