"""The artefacts under test: those in dist/, and the binary is built where it is not there.

What takes minutes to build, the image and the packages, is tested where it has been built. `make release-test` sets
CARPSIDECAR_RELEASE: then the binary is the release's, and what else takes minutes is run too.
"""

import os
import platform
import subprocess
from pathlib import Path

import pytest

from tests.support.segment import lab

__all__ = ["binary", "lab"]

SOURCE = Path(__file__).resolve().parent.parent.parent
DIST = SOURCE / "dist"
NATIVE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
OF_A_RELEASE = "CARPSIDECAR_RELEASE" in os.environ
IMAGE_ARCHIVE = f"carpsidecar-image-{NATIVE}.tar" if OF_A_RELEASE else "carpsidecar-image.tar"
"""This machine's, and the same but for the file's name."""
BUILD_TIMEOUT_S = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.timeout(BUILD_TIMEOUT_S))


@pytest.fixture(scope="session")
def binary() -> Path:
    if OF_A_RELEASE:
        return built(f"carpsidecar-linux-{NATIVE}")
    path = DIST / "carpsidecar"
    if not path.exists():
        made = subprocess.run(["make", "-C", SOURCE, "binary"], capture_output=True, text=True, check=False)
        if made.returncode and "could not be installed" in made.stderr:
            pytest.skip(f"the binary can't be built here: {made.stderr.strip()}")
        assert made.returncode == 0, made.stdout + made.stderr
    return path


def built(pattern: str) -> Path:
    """What was built under this name; the test is skipped where nothing was."""
    found = sorted(DIST.glob(pattern))
    if not found:
        pytest.skip(f"dist/{pattern} has not been built: make release-test")
    return found[-1]
