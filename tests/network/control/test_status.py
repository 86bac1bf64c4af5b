"""`carpsidecar status` of real engines: what is so, what the kernel says to it, and the exit status."""

import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from carpsidecar.lab.commands import environment
from carpsidecar.lab.namespace import in_namespace
from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process
from tests.network.control.client import ask, told, wait_until_told
from tests.support.command import COMMAND
from tests.support.daemon import GROUP, VIP, Configuration, group, piped, reporter_of, start, start_master
from tests.support.unprivileged import UNPRIVILEGED, WHY_NOT, can_be_unprivileged
from tests.support.waits import SOON_S

pytestmark = pytest.mark.network


def a_pair(node: Node, peer: Node, tmp_path: Path) -> tuple[Process, Process]:
    """A master and its backup."""
    master = start_master(node, Configuration(tmp_path, group()))
    backup = start(peer, Configuration(tmp_path, group(advskew=60)))
    backup.wait_for("became backup", SOON_S)
    return master, backup


def test_of_a_master_and_its_backup(node: Node, peer: Node, tmp_path: Path) -> None:
    a_pair(node, peer, tmp_path)
    backup = wait_until_told(peer, lambda group: bool(group.get("peers")))
    assert (backup["exit"], backup["role"], backup["master"]) == (0, "backup", str(node.address))
    assert backup["kernel"] == {"link": "up", "held": {}}
    [(address, heard)] = backup["peers"].items()
    assert (address, heard["interval_s"], heard["authentic"]) == (str(node.address), 16 / 256, True)
    master = wait_until_told(node, lambda group: group["role"] == "master")
    assert (master["exit"], master["master"], master["interface"]) == (0, str(node.address), "eth0")
    assert VIP in master["kernel"]["held"]
    assert 0 < master["lease_left_s"] <= 1
    assert master["problems"] == []
    assert {"advertisements_sent", "lease_renewals", "transitions"} <= master["counters"].keys()


def test_the_table_is_for_people(node: Node, tmp_path: Path) -> None:
    start_master(node, Configuration(tmp_path, group(), group(101)))
    wait_until_told(node, lambda group: group["role"] == "master", "vhid-101")
    both = ask(node, "status")
    assert (both.returncode, both.stderr) == (0, "")
    assert [line.split()[:2] for line in both.stdout.splitlines()[:3]] == [
        ["GROUP", "ROLE"],
        [GROUP, "master"],
        ["vhid-101", "master"],
    ]
    one = ask(node, "status", GROUP)
    assert one.stdout.startswith(f"{GROUP}: MASTER for ")
    assert f"addresses   {VIP}, in the kernel for " in one.stdout
    assert "vhid-101" not in one.stdout
    assert "\x1b" not in both.stdout + one.stdout


def test_another_passphrase_is_seen_as_one(node: Node, peer: Node, tmp_path: Path) -> None:
    start_master(node, Configuration(tmp_path, group(in_use="take")))
    (tmp_path / "other").mkdir()
    stranger = Configuration(tmp_path / "other", group(in_use="take"))
    (tmp_path / "other" / "passphrase").write_text("another secret")
    start_master(peer, stranger)
    found = wait_until_told(node, lambda group: bool(group.get("peers")))
    [(address, heard)] = found["peers"].items()
    assert (address, heard["authentic"]) == (str(peer.address), False)
    assert found["role"] == "master"
    assert "digest does not fit: see carpsidecar doctor" in " ".join(ask(node, "status").stdout.split())


def test_a_link_that_is_down_is_a_fault(node: Node, tmp_path: Path) -> None:
    start_master(node, Configuration(tmp_path, group()))
    wait_until_told(node, lambda group: group["role"] == "master")
    node.pull_cable()
    found = wait_until_told(node, lambda group: group["role"] == "fault")
    assert (found["exit"], found["link"], found["kernel"]["link"]) == (4, False, "down")
    node.plug_cable()
    assert wait_until_told(node, lambda group: group["role"] == "master")["exit"] == 0


def test_an_engine_that_hangs_is_silent_and_the_kernel_has_dropped_its_address(node: Node, tmp_path: Path) -> None:
    engine = start_master(node, Configuration(tmp_path, group()))
    wait_until_told(node, lambda group: group["role"] == "master")
    os.kill(engine.pid, signal.SIGSTOP)
    try:
        found = wait_until_told(node, lambda group: bool(group["problems"]))
        assert (found["exit"], found["role"]) == (4, "master")
        assert found["problems"] == [f"master, but the kernel does not have {VIP}"]
        assert "The engine has been silent for " in ask(node, "status").stdout
    finally:
        os.kill(engine.pid, signal.SIGCONT)
    wait_until_told(node, lambda group: group["exit"] == 0)


def test_an_address_that_a_backup_has_is_reported(node: Node, peer: Node, tmp_path: Path) -> None:
    a_pair(node, peer, tmp_path)
    wait_until_told(peer, lambda group: group["role"] == "backup")
    peer.run(["ip", "address", "add", f"{VIP}/32", "dev", "eth0"])
    assert wait_until_told(peer, lambda group: bool(group["problems"]))["problems"] == [
        f"backup, but the kernel has {VIP}"
    ]


def test_no_master_yet_is_an_exit_status_of_its_own(node: Node, tmp_path: Path) -> None:
    start(node, Configuration(tmp_path, group(advbase=5)))
    found = wait_until_told(node, lambda group: group["role"] == "backup")
    assert (found["exit"], found["master"]) == (3, None)


def test_all_engines_of_a_machine_are_asked(node: Node, tmp_path: Path) -> None:
    start_master(node, Configuration(tmp_path, group()))
    start_master(node, Configuration(tmp_path, group(101)))
    for name in (GROUP, "vhid-101"):
        wait_until_told(node, lambda group: group["role"] == "master", name)
    assert ask(node, "status").stdout.count("engine ") == 2
    assert ask(node, "step-down", "vhid-102").stderr.startswith(
        "carpsidecar step-down: no group is called 'vhid-102': there is vhid-10"
    )


def test_from_another_network_the_kernel_is_not_asked(node: Node, peer: Node, tmp_path: Path) -> None:
    start_master(node, Configuration(tmp_path, group()))
    wait_until_told(node, lambda group: group["role"] == "master")
    [engine] = json.loads(ask(peer, "status", "--json", of=node).stdout)["engines"]
    assert [group["kernel"] for group in engine["groups"]] == [None]


@pytest.mark.skipif(not can_be_unprivileged(), reason=WHY_NOT)
def test_another_user_is_refused(node: Node, tmp_path: Path) -> None:
    start_master(node, Configuration(tmp_path, group()))
    wait_until_told(node, lambda group: group["role"] == "master")
    for command in ("status", "step-down"):
        ended = ask(node, command, by=[*UNPRIVILEGED, "--inh-caps=-all"])
        assert ended.returncode == 1
        assert "ask as root, or as a member of its group" in ended.stderr
    assert told(node)["role"] == "master"


def test_ucarp_has_no_socket(node: Node, tmp_path: Path) -> None:
    flags = ["-i", "eth0", "-s", str(node.address), "-v", "100", "-p", "secret", "-a", VIP]
    node.start([*COMMAND, "ucarp", *flags]).wait_for("became backup", SOON_S)
    ended = ask(node, "status")
    assert ended.returncode == 1
    assert "`carpsidecar ucarp` has no control socket: send it USR1 or USR2" in ended.stderr


def test_a_killed_reporter_comes_back_with_its_socket(node: Node, tmp_path: Path) -> None:
    engine = start_master(node, Configuration(tmp_path, group()))
    wait_until_told(node, lambda group: group["role"] == "master")
    seen = engine.log_size
    os.kill(reporter_of(engine), signal.SIGKILL)
    engine.wait_for("the reporter runs", SOON_S, seen)
    assert wait_until_told(node, lambda group: group["role"] == "master")["exit"] == 0


def test_the_next_start_cleans_up_after_one_that_was_killed(node: Node, tmp_path: Path) -> None:
    engine = start_master(node, Configuration(tmp_path, group()))
    wait_until_told(node, lambda group: group["role"] == "master")
    engine.kill()
    ended = ask(node, "status")
    assert ended.returncode == 1
    assert "no process listens there any more" in ended.stderr
    another = start_master(node, Configuration(tmp_path, group()))
    wait_until_told(node, lambda group: group["role"] == "master")
    sockets = Path(node.environment["RUNTIME_DIRECTORY"]).iterdir()
    assert [path.name for path in sockets] == [f"{another.pid}.sock"]
    assert another.stop() == 0
    assert list(Path(node.environment["RUNTIME_DIRECTORY"]).iterdir()) == []


def test_watched_as_json_it_is_a_line_each_time(node: Node, tmp_path: Path) -> None:
    start_master(node, Configuration(tmp_path, group()))
    wait_until_told(node, lambda group: group["role"] == "master")
    with piped(node, [*COMMAND, "status", "--watch", "--json"], stdout=subprocess.PIPE) as watch:
        assert watch.stdout is not None
        lines = [json.loads(watch.stdout.readline()) for _ in range(2)]
        assert all(line["exit_status"] == 0 for line in lines)
        seconds = lines[1]["engines"][0]["now_s"] - lines[0]["engines"][0]["now_s"]
        assert 0.5 < seconds < SOON_S
        watch.send_signal(signal.SIGINT)
        assert watch.wait(SOON_S) == 0


def test_watched_on_a_terminal_it_is_drawn_in_place_until_ctrl_c(node: Node, tmp_path: Path) -> None:
    start_master(node, Configuration(tmp_path, group()))
    wait_until_told(node, lambda group: group["role"] == "master")
    ours, theirs = pty.openpty()
    try:
        with in_namespace(node.ns):
            watch = subprocess.Popen(
                [*COMMAND, "status", "--watch"],
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
                env=environment({**node.environment, "TERM": "xterm"}),
                preexec_fn=_take_terminal,
            )
        os.close(theirs)
        drawn = _read_until(ours, lambda text: text.count("\x1b[H") == 2)
        assert drawn.count("\x1b[?1049h") == 1
        assert "\x1b[32mMASTER\x1b[0m" in drawn
        os.write(ours, b"\x03")
        rest = _read_until(ours, lambda text: "\x1b[?1049l" in text)
        assert "Traceback" not in rest
        assert watch.wait(SOON_S) == 0
    finally:
        watch.kill()
        watch.wait()
        os.close(ours)


def _take_terminal() -> None:

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _read_until(terminal: int, wanted: Callable[[str], bool]) -> str:
    text = ""
    while not wanted(text):
        assert select.select([terminal], [], [], SOON_S)[0], text
        text += os.read(terminal, 65536).decode()
    return text
