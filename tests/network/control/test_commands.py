"""step-down, promote, drain and undrain by real engines: who holds the address, what is noticed and told."""

import json
import os
import signal
from pathlib import Path

import pytest

from carpsidecar.lab.network import Lab
from carpsidecar.lab.node import Node
from carpsidecar.lab.probe import EchoServer, Probe
from carpsidecar.lab.process import Process
from tests.network.control.client import ask, told, wait_until_told
from tests.support.daemon import (
    GROUP,
    VIP,
    Configuration,
    group,
    holds,
    json_lines,
    reporter_of,
    start,
    start_master,
)
from tests.support.waits import SOON_S

pytestmark = pytest.mark.network

PAUSE_MAX_S = 0.3
"""Of the client, on a machine that has other things to do; the benchmark measures what it is in peace."""


class Pair:
    """A master and its backup, which both answer to the commands."""

    def __init__(self, node: Node, peer: Node, tmp_path: Path) -> None:
        self.ours = Configuration(tmp_path, group(preempt=True))
        self.node, self.peer = node, peer
        self.master = start_master(node, self.ours)
        self.backup = start(peer, Configuration(tmp_path, group(advskew=60)))
        wait_until_told(peer, lambda group: group["role"] == "backup" and group["master"] is not None)
        wait_until_told(node, lambda group: group["role"] == "master")


@pytest.fixture
def pair(node: Node, peer: Node, tmp_path: Path) -> Pair:
    return Pair(node, peer, tmp_path)


def test_a_demoted_master_hands_over_and_stays_a_backup(pair: Pair) -> None:
    ended = ask(pair.node, "step-down", GROUP, "--reason", "disk swap")
    assert (ended.returncode, ended.stdout) == (0, f"{GROUP}: is not master any more; {pair.peer.address} is\n")
    assert holds(pair.peer)
    assert not holds(pair.node)
    found = told(pair.node)
    assert (found["role"], found["reason"], found["master"]) == (
        "backup",
        "asked to step down: disk swap",
        str(pair.peer.address),
    )
    pair.master.wait_for("step-down requested by root: disk swap", SOON_S)
    pair.master.wait_for("became backup: asked to step down: disk swap", SOON_S)
    again = ask(pair.node, "step-down")
    assert (again.returncode, again.stdout) == (0, f"{GROUP}: is backup, not master\n")


def test_a_client_hardly_notices(lab: Lab, pair: Pair) -> None:
    for machine in (pair.node, pair.peer):
        EchoServer(machine)
    with Probe(lab.node("client"), VIP) as probe:
        probe.wait_until_answered_by(pair.node.name, SOON_S)
        assert ask(pair.node, "step-down").returncode == 0
        probe.wait_until_answered_by(pair.peer.name, SOON_S)
        pause_s = probe.longest_outage_s()
    print(f"demoted by hand: a client without an answer for {1e3 * pause_s:.1f} ms")
    assert pause_s < PAUSE_MAX_S


def test_a_promoted_backup_takes_over_until_it_is_demoted(pair: Pair) -> None:
    ended = ask(pair.peer, "promote", "--reason", "test")
    assert (ended.returncode, ended.stdout) == (0, f"{GROUP}: is master now\n")
    assert holds(pair.peer)
    pair.master.wait_for("became backup", SOON_S, pair.master.log.index("became master"))
    found = told(pair.peer)
    assert (found["role"], found["reason"]) == ("master", "promoted: test")
    again = ask(pair.peer, "promote")
    assert (again.returncode, again.stdout) == (0, f"{GROUP}: is master already\n")
    assert ask(pair.peer, "step-down").returncode == 0
    assert told(pair.node)["role"] == "master"


def test_a_promotion_that_can_not_be_is_refused_with_the_reason(pair: Pair) -> None:
    assert ask(pair.peer, "drain").returncode == 0
    ended = ask(pair.peer, "promote")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"{GROUP}: can't be promoted: it is demoted by operator")
    assert told(pair.node)["role"] == "master"


def test_a_drain_keeps_the_address_away_until_undrain(pair: Pair) -> None:
    ended = ask(pair.node, "drain", "--reason", "kernel update")
    assert (ended.returncode, ended.stdout) == (0, f"{GROUP}: is drained; {pair.peer.address} is\n")
    found = told(pair.node)
    assert (found["role"], found["reason"], found["advskew_advertised"]) == (
        "backup",
        "demoted: kernel update",
        240,
    )
    assert found["demotions"] == {"operator": 240}
    assert found["demotion_texts"] == {"operator": "kernel update"}
    assert "demoted by 240, operator: kernel update" in ask(pair.node, "status").stdout
    ended = ask(pair.node, "undrain")
    assert (ended.returncode, ended.stdout) == (0, f"{GROUP}: is not drained any more\n")
    # It is preferred, and preempts.
    wait_until_told(pair.node, lambda group: group["role"] == "master")


def test_a_drain_outlasts_reporter_and_engine(pair: Pair) -> None:
    assert ask(pair.node, "drain", "--reason", "kernel update").returncode == 0
    seen = pair.master.log_size
    os.kill(reporter_of(pair.master), signal.SIGKILL)
    pair.master.wait_for("the reporter runs", SOON_S, seen)
    drained = {"operator": 240}
    wait_until_told(pair.node, lambda group: group.get("demotions") == drained)
    pair.master.kill()
    again = start(pair.node, pair.ours)
    found = wait_until_told(pair.node, lambda group: group["role"] == "backup" and group["master"] is not None)
    assert found["demotions"] == drained
    assert "became master" not in again.log
    assert holds(pair.peer)
    assert ask(pair.node, "undrain").returncode == 0
    again.wait_for("became master: preempting a slower master", SOON_S)
    again.kill()
    start_master(pair.node, pair.ours)
    assert wait_until_told(pair.node, lambda group: group["role"] == "master")["demotions"] == {}


def test_a_drained_node_that_is_alone_still_serves(node: Node, tmp_path: Path) -> None:
    start_master(node, Configuration(tmp_path, group()))
    wait_until_told(node, lambda group: group["role"] == "master")
    ended = ask(node, "drain")
    assert (ended.returncode, ended.stdout) == (
        0,
        f"{GROUP}: is drained; no other node took over: it is master again\n",
    )
    found = wait_until_told(node, lambda group: group["role"] == "master")
    assert list(found["demotions"]) == ["operator"]


def test_where_the_drain_can_not_be_kept_it_says_so(pair: Pair) -> None:
    Path(pair.node.environment["STATE_DIRECTORY"]).touch()
    ended = ask(pair.node, "drain")
    assert ended.returncode == 0
    assert "can't be written (Not a directory): it drains until the engine's end only" in ended.stdout
    pair.master.wait_for("can't be written (Not a directory)", SOON_S)


def test_only_the_named_group_moves(node: Node, peer: Node, tmp_path: Path) -> None:
    start_master(node, Configuration(tmp_path, group(), group(101)))
    backup = start(peer, Configuration(tmp_path, group(advskew=60), group(101, advskew=60)))
    for name in (GROUP, "vhid-101"):
        backup.wait_for(f"{name}: became backup", SOON_S)
        wait_until_told(node, lambda group: group["role"] == "master", name)
    ended = ask(node, "step-down", "vhid-101")
    assert ended.stdout == f"vhid-101: is not master any more; {peer.address} is\n"
    assert told(node)["role"] == "master"
    assert told(peer, "vhid-101")["role"] == "master"
    everything = ask(node, "drain")
    assert sorted(line.split(":")[0] for line in everything.stdout.splitlines()) == [GROUP, "vhid-101"]


def test_who_asked_is_in_the_log_with_stable_keys(node: Node, tmp_path: Path) -> None:
    engine = start(node, Configuration(tmp_path, group()), "--log-format", "json")
    wait_until_told(node, lambda group: group["role"] == "master")
    ask(node, "drain", GROUP, "--reason", "kernel update")
    [line] = json_lines(engine.wait_for('"event": "command"', SOON_S))
    assert {name: line[name] for name in ("level", "command", "group", "reason", "uid", "user")} == {
        "level": "info",
        "command": "drain",
        "group": GROUP,
        "reason": "kernel update",
        "uid": 0,
        "user": "root",
    }


def test_an_engine_that_hangs_does_not_make_the_command_hang(node: Node, tmp_path: Path) -> None:
    engine: Process = start_master(node, Configuration(tmp_path, group()))
    wait_until_told(node, lambda group: group["role"] == "master")
    os.kill(engine.pid, signal.SIGSTOP)
    try:
        ended = ask(node, "step-down")
    finally:
        os.kill(engine.pid, signal.SIGCONT)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"{GROUP}: is master; no answer within 3 s")


def test_a_demoted_node_that_is_alone_is_master_again_and_says_so(node: Node, tmp_path: Path) -> None:
    start_master(node, Configuration(tmp_path, group()))
    wait_until_told(node, lambda group: group["role"] == "master")
    ended = ask(node, "step-down")
    assert (ended.returncode, ended.stderr) == (
        1,
        f"{GROUP}: stepped down; no other node took over: it is master again\n",
    )


def test_what_is_asked_by_hand_over_the_socket_is_answered(node: Node, tmp_path: Path) -> None:
    engine = start_master(node, Configuration(tmp_path, group()))
    wait_until_told(node, lambda group: group["role"] == "master")
    path = Path(node.environment["RUNTIME_DIRECTORY"], f"{engine.pid}.sock")
    program = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "s.connect(sys.argv[1]); s.sendall(sys.argv[2].encode() + b'\\n'); print(s.makefile().read())"
    )
    answer = json.loads(
        node.run(["python3", "-c", program, str(path), '{"type":"promote","group":null,"reason":""}'])
    )
    assert answer == {"type": "done", "results": [{"group": GROUP, "done": True, "text": "is master already"}]}
