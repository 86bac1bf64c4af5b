"""What is in this folder needs kube-apiserver and etcd; without them it is left out, and says so."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.admin import Admin
from tests.kubernetes.control_plane import ControlPlane, found
from tests.kubernetes.proxy import Proxy
from tests.kubernetes.scene import Logs, Scene

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [program for program in ("kube-apiserver", "etcd") if found(program) is None]
    reason = f"needs {' and '.join(missing)}: put them into a folder, and its name into KUBEBUILDER_ASSETS"
    for item in items:
        if missing and item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane() as plane:
        yield plane


@pytest.fixture
def scene(plane: ControlPlane, tmp_path: Path) -> Iterator[Scene]:
    proxy = Proxy(plane.port, plane.authority.issue("proxy"), plane.authority.certificate)
    scene = Scene(plane, Admin(plane.port, plane.context()), proxy, tmp_path, Logs())
    yield scene
    scene.close()
