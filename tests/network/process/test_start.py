"""What an engine is started with: closed descriptors, and a limit that allows core files."""

import resource
import shutil
import subprocess
from pathlib import Path

import pytest

from carpsidecar.lab.node import Node
from tests.support.daemon import VIP, Configuration, group, holds, script, start
from tests.support.unprivileged import (
    UNPRIVILEGED,
    WHY_NOT,
    WITH_TWO_CAPABILITIES,
    can_be_unprivileged,
)
from tests.support.waits import SOON_S, wait_until

pytestmark = pytest.mark.network


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_no_socket_gets_the_number_of_a_closed_standard_descriptor(
    node: Node, tmp_path: Path, closed: tuple[int, ...]
) -> None:
    close = "; ".join(f"exec {number}>&-" for number in closed)
    by = ("sh", "-c", f'{close}; exec "$0" "$@"')
    engine = start(node, Configuration(tmp_path, group()), by=by)
    wait_until(lambda: holds(node, VIP))
    for number in closed:
        assert Path(f"/proc/{engine.pid}/fd/{number}").readlink() == Path("/dev/null")
    assert engine.stop() == 0


def test_the_engine_is_not_dumped_and_its_hooks_may_be(node: Node, tmp_path: Path) -> None:
    hook = script(tmp_path, "hook", "ulimit -c unlimited && echo RAISED")
    by = ("sh", "-c", 'ulimit -c unlimited; exec "$0" "$@"')
    engine = start(node, Configuration(tmp_path, group(on_backup=hook)), by=by)
    engine.wait_for("RAISED", SOON_S)
    assert resource.prlimit(engine.pid, resource.RLIMIT_CORE)[0] == 0
    assert engine.stop() == 0


@pytest.mark.skipif(not can_be_unprivileged(), reason=WHY_NOT)
def test_no_other_process_of_its_user_can_read_its_memory(node: Node, open_folder: Path) -> None:
    configuration = Configuration(open_folder, group())
    for path in (configuration.path, open_folder / "passphrase"):
        shutil.chown(path, "nobody")
    engine = start(node, configuration, by=WITH_TWO_CAPABILITIES)
    engine.wait_for("became master", SOON_S)
    read = subprocess.run([*UNPRIVILEGED, "cat", f"/proc/{engine.pid}/environ"], capture_output=True, check=False)
    assert read.returncode == 1
    assert b"Permission denied" in read.stderr
    assert engine.stop() == 0
