"""The engine with `realtime`: it has priority and locked memory where it may, nobody else does, and it says so."""

import os
from pathlib import Path
from typing import Any

import pytest

from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process
from tests.support.daemon import (
    HTTP,
    NET_ADMIN_AND_RAW,
    PASSPHRASE,
    Configuration,
    alive,
    group,
    holds,
    json_lines,
    privileges_of,
    reload,
    reporter_of,
    script,
    start,
    start_master,
)
from tests.support.realtime import REALTIME, needs_realtime
from tests.support.unprivileged import UNPRIVILEGED, WHY_NOT, can_be_unprivileged
from tests.support.waits import SOON_S

pytestmark = pytest.mark.network

ON = {"realtime": True}
SAID = "runs with real-time priority 1 and locked memory"
WITHOUT = ("setpriv", "--bounding-set", "-sys_nice,-ipc_lock,-sys_resource")


def policies(pid: int) -> list[int]:
    """Of each thread."""
    return [os.sched_getscheduler(int(task.name)) for task in Path(f"/proc/{pid}/task").iterdir()]


def locked_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmLck"))


def said_of_it(engine: Process) -> list[dict[str, Any]]:
    return [line for line in json_lines(engine.log) if line["event"].startswith("realtime")]


@needs_realtime
def test_it_has_both_and_no_more_capabilities_than_else(node: Node, tmp_path: Path) -> None:
    engine = start(node, Configuration(tmp_path, group(), beside=ON), "--log-format", "json")
    engine.wait_for("became master", SOON_S)
    assert set(policies(engine.pid)) == {REALTIME}
    assert os.sched_getparam(engine.pid).sched_priority == 1
    assert locked_kb(engine.pid) > 10_000
    found = privileges_of(engine.pid)
    assert found["CapEff"] == found["CapPrm"] == found["CapBnd"] == NET_ADMIN_AND_RAW
    [line] = said_of_it(engine)
    assert (line["level"], line["message"], line["priority"], line["locked_memory"]) == ("info", SAID, 1, True)


@needs_realtime
def test_neither_the_reporter_nor_a_command_inherits_it(node: Node, tmp_path: Path) -> None:
    hook = script(tmp_path, "hook", "chrt -p $$; grep VmLck /proc/$$/status; echo TOLD all")
    engine = start_master(node, Configuration(tmp_path, group(on_master=hook), beside=ON), *HTTP)
    engine.wait_for("TOLD all", SOON_S)
    assert REALTIME in policies(engine.pid)
    reporter = reporter_of(engine)
    assert set(policies(reporter)) == {os.SCHED_OTHER}
    assert locked_kb(reporter) == 0
    assert "policy: SCHED_OTHER" in engine.log
    assert engine.log.split("VmLck:")[1].split()[0] == "0"


@needs_realtime
@pytest.mark.skipif(not can_be_unprivileged(), reason=WHY_NOT)
def test_unprivileged_it_takes_two_more_capabilities_while_it_starts(node: Node, open_folder: Path) -> None:
    configuration = Configuration(open_folder, group(), beside=ON)
    for path in open_folder.iterdir():
        path.chmod(0o755)
    wanted = ",".join(f"+{name}" for name in ("net_admin", "net_raw", "sys_nice", "ipc_lock"))
    by = (*UNPRIVILEGED, "--inh-caps", f"-all,{wanted}", "--ambient-caps", wanted)
    engine = start(node, configuration, env={"CARP_PASSPHRASE": PASSPHRASE}, by=by)
    engine.wait_for(SAID, SOON_S)
    engine.wait_for("became master", SOON_S)
    assert set(policies(engine.pid)) == {REALTIME}
    assert privileges_of(engine.pid)["CapEff"] == privileges_of(engine.pid)["CapPrm"] == NET_ADMIN_AND_RAW


def test_without_the_privileges_it_warns_once_and_does_its_work(node: Node, tmp_path: Path) -> None:
    engine = start(node, Configuration(tmp_path, group(), beside=ON), "--log-format", "json", by=WITHOUT)
    engine.wait_for("became master", SOON_S)
    assert holds(node)
    assert set(policies(engine.pid)) == {os.SCHED_OTHER}
    [line] = said_of_it(engine)
    assert line["level"] == "warning"
    assert line["refused"] == ["real-time priority", "locked memory"]
    assert all(
        name in line["message"] for name in ("CAP_SYS_NICE", "LimitRTPRIO=1", "CAP_IPC_LOCK", "LimitMEMLOCK")
    )


@needs_realtime
def test_with_locked_memory_it_can_grow_by_two_hundred_groups(node: Node, tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, group(), beside={**ON, "interface": "eth0"})
    engine = start(node, configuration)
    engine.wait_for(SAID, SOON_S)
    configuration.groups[1:] = [group(number, vip=f"10.99.1.{number}") for number in range(1, 201)]
    del configuration.groups[100]
    configuration.write()
    reload(engine)
    assert alive(engine.pid)
    assert policies(engine.pid)[0] == REALTIME


def test_a_change_is_reported_to_need_a_restart(node: Node, tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, group())
    engine = start_master(node, configuration)
    warning = "WARNING realtime: a change takes effect at the next start"
    assert "realtime" not in engine.log + reload(engine)
    configuration.beside.update(ON)
    configuration.write()
    assert warning in reload(engine)
    assert warning not in reload(engine)
    assert set(policies(engine.pid)) == {os.SCHED_OTHER}
