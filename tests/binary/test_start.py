"""The binary on a machine that has nothing: it starts, runs, and leaves nothing behind."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from carpsidecar import __version__
from carpsidecar.lab.namespace import has_privileges
from carpsidecar.lab.network import Lab
from carpsidecar.lab.process import Process
from tests.binary.empty_root import EmptyRoot
from tests.support.waits import SOON_S, wait_until

pytestmark = pytest.mark.skipif(not has_privileges() or os.geteuid() != 0, reason="needs root")

SIZE_MAX = 30_000_000
START_MAX_S = 0.6
VIP = "10.99.0.100"
RUN = ("run", "--vip", VIP, "--interface", "eth0", "--advbase", "0", "--advskew", "40")


@pytest.fixture
def root(tmp_path: Path, binary: Path) -> EmptyRoot:
    return EmptyRoot(tmp_path / "root", binary)


def start(lab: Lab, root: EmptyRoot, *command: str) -> Process:
    node = lab.nodes.get("one") or lab.node("one")
    return node.start(root.argv(*command), env={"CARP_PASSPHRASE": "in an empty root", "TMPDIR": "/tmp"})


def test_small_and_static(binary: Path) -> None:
    headers = subprocess.run(["readelf", "-lW", binary], capture_output=True, text=True, check=True).stdout
    assert binary.stat().st_size <= SIZE_MAX
    assert "INTERP" not in headers
    assert "DYNAMIC" not in headers


def test_tells_what_it_is_made_of(root: EmptyRoot) -> None:
    told = root.run("/carpsidecar", "version").stdout.splitlines()
    assert told[0] == f"carpsidecar {__version__}"
    assert re.fullmatch(r"commit [0-9a-f]{7,40}(-dirty)?", told[1])
    assert re.fullmatch(r"CPython 3\.\d+\.\d+", told[2])
    assert {line.split()[0] for line in told[3:]} >= {"cryptography", "kubernetes", "pyroute2"}


def test_is_ucarp_by_that_name(root: EmptyRoot) -> None:
    told = root.run("/ucarp", "--help")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("usage: ucarp ")


def test_starts_soon(binary: Path) -> None:
    def processor_s() -> float:
        process = subprocess.Popen([binary, "run", "--help"], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0
        return usage.ru_utime + usage.ru_stime

    # Of the processor, since other tests may have the machine at the same time.
    assert min(processor_s() for _ in range(3)) <= START_MAX_S


def test_holds_the_address_and_leaves_nothing_after_TERM(lab: Lab, root: EmptyRoot) -> None:
    engine = start(lab, root, "/carpsidecar", *RUN)
    engine.wait_for("became backup", SOON_S)
    ran_s = int(Path(f"/proc/{engine.pid}/schedstat").read_text().split()[0]) / 1e9
    engine.wait_for("became master", SOON_S)
    assert f" {VIP}/32 " in lab.nodes["one"].run(["ip", "address", "show"])
    assert len(root.leftovers) == 1
    assert engine.stop() == 0
    assert root.leftovers == []
    assert ran_s <= START_MAX_S


def test_an_interrupt_too(lab: Lab, root: EmptyRoot) -> None:
    engine = start(lab, root, "/carpsidecar", *RUN)
    engine.wait_for("became backup", SOON_S)
    os.kill(engine.pid, signal.SIGINT)
    assert engine.wait(SOON_S) == 0
    assert root.leftovers == []


def test_stopped_while_it_starts(lab: Lab, root: EmptyRoot) -> None:
    engine = start(lab, root, "/carpsidecar", *RUN)
    wait_until(lambda: bool(root.leftovers))
    os.kill(engine.pid, signal.SIGTERM)
    engine.wait(SOON_S)
    wait_until(lambda: root.leftovers == [])


def test_a_killed_one_is_cleaned_up_after(lab: Lab, root: EmptyRoot) -> None:
    engine = start(lab, root, "/carpsidecar", *RUN)
    engine.wait_for("became backup", SOON_S)
    os.kill(engine.pid, signal.SIGKILL)
    engine.wait(SOON_S)
    wait_until(lambda: root.leftovers == [])


def test_what_was_killed_with_its_helper_is_cleaned_up_at_the_next_start(lab: Lab, root: EmptyRoot) -> None:
    (root.folder / "tmp" / "carpsidecar-unpacked-of-somebody").write_text("no folder")
    engine = start(lab, root, "/carpsidecar", *RUN)
    engine.wait_for("became backup", SOON_S)
    other = start(lab, root, "/carpsidecar", *RUN[:2], "10.99.0.101", "--vhid", "7", *RUN[3:])
    other.wait_for("became backup", SOON_S)
    os.kill(helper_of(engine), signal.SIGKILL)
    engine.kill()
    assert len(root.leftovers) == 3
    assert root.run("/carpsidecar", "version").returncode == 0
    # The one that runs keeps its own.
    assert len(root.leftovers) == 2
    assert other.stop() == 0
    assert root.leftovers == ["carpsidecar-unpacked-of-somebody"]


def helper_of(engine: Process) -> int:
    """The process that waits to remove what this one unpacked: the oldest after it."""
    helpers = [
        int(folder.name)
        for folder in Path("/proc").glob("[0-9]*")
        if _name(folder) == "carpsidecar-rm" and int(folder.name) > engine.pid
    ]
    return min(helpers)


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_a_daemon_keeps_what_it_needs_when_who_started_it_is_gone(lab: Lab, binary: Path, tmp_path: Path) -> None:
    node = lab.node("one")
    ucarp, temporary = tmp_path / "ucarp", tmp_path / "tmp"
    ucarp.symlink_to(binary)
    temporary.mkdir()
    flags = ("-s", str(node.address), "-v", "42", "-p", "secret", "-a", VIP, "-b", "0", "-k", "40")
    started = node.start([str(ucarp), "-i", "eth0", *flags, "--daemonize"], env={"TMPDIR": str(temporary)})
    assert started.wait(SOON_S) == 0
    assert len(list(temporary.iterdir())) == 1
    pids = node.run(["ip", "netns", "pids", node.ns]).split()
    (daemon,) = [int(pid) for pid in pids if _name(Path("/proc", pid)) == "carpsidecar"]
    os.kill(daemon, signal.SIGTERM)
    wait_until(lambda: not list(temporary.iterdir()))


def test_a_command_finds_its_own_machine_s_libraries(lab: Lab, binary: Path, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    command = tmp_path / "command"
    command.write_text(
        f'#!/bin/sh\nenv | grep -E "LD_LIBRARY|_CARPSIDECAR|_PYI" >{seen}\nls -l /proc/$$/fd >>{seen}\n'
    )
    command.chmod(0o755)
    env = {"CARP_PASSPHRASE": "secret", "TMPDIR": str(tmp_path)}
    engine = lab.node("one").start([str(binary), *RUN, "--on-master", str(command)], env=env)
    engine.wait_for("became master", SOON_S)
    wait_until(lambda: seen.exists() and "total" in seen.read_text())
    assert engine.stop() == 0
    assert "LD_LIBRARY" not in seen.read_text()
    assert "_CARPSIDECAR" not in seen.read_text()
    assert "carpsidecar-unpacked" not in seen.read_text()


BAD_FOLDERS = {
    "not there": ("true", "/nowhere", r"No such file or directory"),
    "noexec": ('mount -t tmpfs -o noexec tmp "$0/tmp"', "/tmp", "mounted noexec"),
    "read-only": ('mount -t tmpfs -o ro tmp "$0/tmp"', "/tmp", "Read-only file system"),
    "another user's": ('chown 65534 "$0/tmp"', "/tmp", "/tmp can be changed by other users"),
    "open to all": ('chmod 777 "$0/tmp"', "/tmp", "/tmp can be changed by other users"),
    "full": ('mount -t tmpfs -o size=20m tmp "$0/tmp"', "/tmp", "No space left on device"),
}


@pytest.mark.parametrize("kind", BAD_FOLDERS)
def test_a_bad_temporary_folder_is_one_clear_line(root: EmptyRoot, kind: str) -> None:
    mount, folder, why = BAD_FOLDERS[kind]
    ended = root.run("/carpsidecar", "version", mount=mount, env={"TMPDIR": folder})
    line = rf"carpsidecar: can't unpack into {folder} \({why}\): set TMPDIR to a folder that .*\n"
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert re.fullmatch(line, ended.stderr)


def test_another_user_may_run_what_is_unpacked_and_not_change_it(root: EmptyRoot, lab: Lab) -> None:
    """The reporter is another user, and starts from what root has unpacked."""
    engine = start(lab, root, "/carpsidecar", *RUN)
    engine.wait_for("became backup", SOON_S)
    [unpacked] = (root.folder / "tmp").iterdir()
    assert {path.stat().st_mode & 0o022 for path in (unpacked, *unpacked.rglob("*"))} == {0}
    enter = ["nsenter", f"--target={engine.pid}", "--mount", "--root", "--setuid=65533", "--setgid=65533"]
    command = [*enter, f"/tmp/{unpacked.name}/carpsidecar", "version"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("carpsidecar ")


def test_a_damaged_file_says_so(root: EmptyRoot) -> None:
    file = root.folder / "carpsidecar"
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    file.write_bytes(content)
    ended = root.run("/carpsidecar", "version")
    assert ended.returncode == 1
    assert "this file is damaged" in ended.stderr
    wait_until(lambda: root.leftovers == [])
