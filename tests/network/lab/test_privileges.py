"""The lab as a plain user: in a user namespace of its own, or refused with one clear line."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import carpsidecar
from tests.support.unprivileged import UNPRIVILEGED

pytestmark = pytest.mark.network

PROGRAM = """
import os
from carpsidecar.lab.namespace import ensure_privileges
was = os.geteuid()
ensure_privileges()
from carpsidecar.lab.network import Lab
from carpsidecar.lab.probe import EchoServer, Probe
with Lab() as lab:
    EchoServer(lab.node("server"))
    server = lab.nodes["server"]
    server.cut_off(); server.rejoin(); server.pull_cable(); server.plug_cable()
    with Probe(lab.node("client"), server.address) as probe:
        print(probe.wait_until_answered(15), was)
"""


@pytest.fixture
def program(open_folder: Path) -> list[str]:
    """The program for a Python and in a folder that another user can read, which root's own need not be."""
    python = shutil.which("python3", path="/usr/bin")
    if python is None or subprocess.run([python, "-c", "import typing; typing.Self"], check=False).returncode:
        pytest.skip("no Python 3.11 that other users can run")
    source = Path(carpsidecar.__file__).parent
    shutil.copytree(source, open_folder / "carpsidecar", ignore=shutil.ignore_patterns("__pycache__"))
    return ["env", f"PYTHONPATH={open_folder}", "PATH=/usr/bin:/bin", python, "-c", PROGRAM]


def run(argv: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd="/")


def test_a_plain_user_gets_a_lab_in_a_user_namespace(program: list[str]) -> None:
    if run([*UNPRIVILEGED, "unshare", "--user", "true"]).returncode:
        pytest.skip("this kernel forbids user namespaces to users")
    ended = run([*UNPRIVILEGED, *program])
    assert (ended.stdout, ended.stderr, ended.returncode) == ("server 0\n", "", 0)


def test_where_the_kernel_forbids_it_one_line_names_the_setting_and_the_remedy(program: list[str]) -> None:
    if run(["unshare", "--user", "--map-root-user", "true"]).returncode:
        pytest.skip("even root may not make a user namespace here")
    forbid = 'echo 0 >/proc/sys/user/max_user_namespaces; exec setpriv --bounding-set=-sys_admin "$@"'
    ended = run(["unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh", *program])
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert "user.max_user_namespaces=0" in ended.stderr
    assert "sudo" in ended.stderr


def test_one_who_has_the_privileges_goes_on_in_the_same_process() -> None:
    ask = "from carpsidecar.lab.namespace import ensure_privileges; print(1); ensure_privileges(); print(2)"
    assert run([sys.executable, "-uc", ask]).stdout == "1\n2\n"
