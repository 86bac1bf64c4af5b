"""The binary in the engine's own interoperability tests: some of them here, all of them by `make release-test`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from carpsidecar.lab.namespace import has_privileges
from tests.binary.conftest import OF_A_RELEASE, SOURCE

SUITES = ("test_ucarp_handover.py", "test_wire.py")


@pytest.mark.skipif(not has_privileges(), reason="needs network namespaces: run `sudo make test`")
@pytest.mark.skipif(OF_A_RELEASE, reason="all of them are run after this")
def test_agrees_with_ucarp(binary: Path) -> None:
    suites = [f"tests/network/interop/{name}" for name in SUITES]
    command = [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", *suites]
    env = {**os.environ, "CARPSIDECAR_COMMAND": str(binary)}
    ended = subprocess.run(command, cwd=SOURCE, env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-4000:]
    assert " passed" in ended.stdout
