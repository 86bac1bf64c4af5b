"""The control socket: who may use it, and what is left of engines that are gone."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from carpsidecar.engine.control_socket import ControlSocket, remove_left_over
from tests.support.logs import Logged
from tests.support.unprivileged import UNPRIVILEGED, WHY_NOT, can_be_unprivileged

NAME = "4711.sock"


def test_it_is_for_its_owner_and_group_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        control = ControlSocket(tmp_path / "run" / NAME)
    finally:
        os.umask(before)
    file, folder = (path.stat().st_mode for path in (tmp_path / "run" / NAME, tmp_path / "run"))
    control.close()
    assert stat.S_ISSOCK(file)
    assert (stat.S_IMODE(file), stat.S_IMODE(folder)) == (0o660, 0o750)


@pytest.mark.skipif(not can_be_unprivileged(), reason=WHY_NOT)
def test_another_user_is_refused_by_the_sockets_mode(open_folder: Path) -> None:
    program = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    control = ControlSocket(open_folder / NAME)
    command = [*UNPRIVILEGED, "--inh-caps=-all", sys.executable, "-c", program, str(open_folder / NAME)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    control.close()
    assert "PermissionError" in ended.stderr


def test_its_file_goes_with_it(tmp_path: Path) -> None:
    ControlSocket(tmp_path / NAME).close()
    assert list(tmp_path.iterdir()) == []


def test_one_of_a_killed_engine_is_replaced(tmp_path: Path) -> None:
    _left_over(tmp_path / NAME)
    control = ControlSocket(tmp_path / NAME)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / NAME))
    control.close()


@pytest.mark.parametrize("in_the_way", ["a file", "a folder in place of the socket", "a long name"])
def test_where_it_can_not_listen_a_warning_names_it_and_all_else_goes_on(
    tmp_path: Path, in_the_way: str, logged: Logged
) -> None:
    folder = tmp_path
    if in_the_way == "a file":
        (tmp_path / "run").touch()
    elif in_the_way == "a long name":
        folder = tmp_path / ("x" * 100)
    else:
        (tmp_path / "run" / NAME).mkdir(parents=True)
    control = ControlSocket(folder / "run" / NAME)
    control.close()
    assert control.listening is None
    assert logged.events == ["control_failed"]
    assert logged.lines[0].startswith(f"no control socket at {folder}/run/{NAME} (")


def test_what_is_left_over_of_engines_that_are_gone_is_removed_and_nothing_else(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    listening = socket.socket(socket.AF_UNIX)
    try:
        listening.bind(str(tmp_path / f"{gone.pid}.sock"))
        listening.listen()
        remove_left_over(tmp_path)
        assert (tmp_path / f"{gone.pid}.sock").exists(), "it may be in another process namespace"
    finally:
        listening.close()
    _left_over(tmp_path / f"{os.getpid()}.sock")
    _left_over(tmp_path / "mine.sock")
    _left_over(tmp_path / f"{1 << 70}.sock")
    remove_left_over(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{os.getpid()}.sock", "mine.sock"}


def _left_over(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as former:
        former.bind(str(path))
