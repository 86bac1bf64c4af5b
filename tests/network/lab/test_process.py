"""Programs in a node: their logs are followed, their ends noticed, their signals delivered."""

import os
import re
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from carpsidecar.lab.commands import LabError
from carpsidecar.lab.network import Lab
from carpsidecar.lab.node import Node
from tests.support.waits import SOON_S

pytestmark = pytest.mark.network

COUNTER = "import time\nfor n in range(10**6):\n    print('count', n, flush=True); time.sleep(0.01)"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Lab() as lab:
        yield lab.node("one")


def test_a_line_is_found_whether_it_was_said_before_or_comes_later(node: Node) -> None:
    process = node.start(["sh", "-c", "echo first; sleep 0.2; echo second 22 >&2; sleep 1000"])
    assert process.wait_for(re.compile(r"second (\d+)"), 5) == "second 22"
    assert process.wait_for("first", 0) == "first"
    process.kill()


def test_only_what_is_said_after_a_point_counts_if_so_wished(node: Node) -> None:
    process = node.start([sys.executable, "-c", COUNTER])
    process.wait_for("count 0", SOON_S)
    position = process.log_size
    later = process.wait_for("count", SOON_S, after=position)
    assert later not in process.log[:position].splitlines()
    process.kill()


def test_waiting_for_what_is_never_said_ends_with_the_last_words(node: Node) -> None:
    process = node.start(["sh", "-c", "echo something else; sleep 1000"])
    process.wait_for("else", SOON_S)
    with pytest.raises(TimeoutError, match=r"did not log 'master' in 0\.1 s.*\n.*something else"):
        process.wait_for("master", 0.1)
    process.kill()


def test_waiting_for_a_program_that_has_ended_does_not_last(node: Node) -> None:
    process = node.start(["sh", "-c", "echo bad flag; printf unfinished; exit 3"])
    begin = time.monotonic()
    with pytest.raises(LabError, match=r"(?s)exit status 3.*ended before it logged 'ready'.*bad flag"):
        process.wait_for("ready", 60)
    assert time.monotonic() - begin < 30
    assert process.wait(SOON_S) == 3
    assert process.wait_for("unfinished", SOON_S) == "unfinished"


def test_stop_lets_a_program_end_by_itself(node: Node) -> None:
    process = node.start(["sh", "-c", "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.01; done"])
    process.wait_for("ready", SOON_S)
    assert process.returncode is None
    assert process.stop() == 7
    assert process.log.endswith("bye\n")


def test_kill_takes_the_children_along(node: Node) -> None:
    process = node.start(["sh", "-c", "sleep 1000 & echo child $!; wait"])
    child = os.pidfd_open(int(process.wait_for("child", SOON_S).split()[1]))
    process.kill()
    assert process.returncode == -9
    # It dies of the same signal, in its own time.
    assert select.select([child], [], [], SOON_S)[0]
    os.close(child)


def test_a_program_that_hangs_says_nothing_until_it_is_resumed(node: Node) -> None:
    process = node.start([sys.executable, "-c", COUNTER])
    process.wait_for("count", SOON_S)
    process.hang()
    position = process.log_size
    with pytest.raises(TimeoutError):
        process.wait_for("count", 0.2, after=position + 20)
    process.resume()
    process.wait_for("count", SOON_S, after=position + 20)
    process.kill()


def test_environment_and_log_file_are_the_callers(node: Node, tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    process = node.start(["sh", "-c", "echo $COLOUR"], log=log, env={"COLOUR": "blue"})
    process.wait(SOON_S)
    assert log.read_text() == process.log == "blue\n"


def test_a_command_that_fails_tells_why(node: Node) -> None:
    assert node.shell("echo $((6 * 7))") == "42\n"
    with pytest.raises(LabError, match="exit status 4, its output: oh no"):
        node.shell("echo oh no >&2; exit 4")
