"""The hardened mode with clocks decades apart, under a flood, and beside somebody who plays all that he recorded.

`CARP_FLOOD_S` says how long the flood is; a minute is what docs/security.md speaks of.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carpsidecar.lab.process import Process
from tests.network.control.client import ask
from tests.support.cluster import FAST, VHID, Cluster, cluster_of
from tests.support.frames import ipv4
from tests.support.tap import Frame, Tap, advertises
from tests.support.waits import SOON_S, wait_until

pytestmark = pytest.mark.network

LONG = {"CARP_PASSPHRASE": "a passphrase much longer than CARP's nineteen bytes"}
HARDENED = (*FAST, "--auth", "hardened")
A, B, C = "10.99.0.11", "10.99.0.12", "10.99.0.13"
FLOOD_S = float(os.environ.get("CARP_FLOOD_S", "2"))
FLOOD_RATE = 20000
GROWTH_MAX_KB = 4096
"""What an allocator keeps for packets that are looked at once; 20,000 remembered sources would take more."""
SOLICITATION = 0x33
SHIM = Path(__file__).parents[2] / "support" / "wall_clock.c"
CC = shutil.which("cc")
DECADES_S = 70 * 365 * 86400


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with cluster_of("a", "b", "c") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def a(cluster: Cluster) -> Process:
    """The master."""
    process = cluster.start("a", "--auth", "hardened", env=LONG)
    process.wait_for("became master", SOON_S)
    return process


@pytest.fixture(scope="module")
def b(cluster: Cluster, a: Process) -> Process:
    process = cluster.start("b", "--auth", "hardened", "--advskew", "100", env=LONG)
    process.wait_for("became backup", SOON_S)
    wait_until(lambda: A in members(cluster, "b"))
    return process


def members(cluster: Cluster, name: str, vhid: int = VHID) -> dict[str, dict[str, Any]]:
    """Of this group on this node, by source address, as `status` has them."""
    shown = json.loads(ask(cluster[name], "status", "--json").stdout)
    groups = [group for engine in shown["engines"] for group in engine["groups"] if group["vhid"] == vhid]
    return {member["sources"][0]: member for group in groups for member in group["members"]}


def memory_kb(process: Process) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    assert found is not None
    return int(found[1])


def test_twenty_thousand_spoofed_sources_a_second_cost_no_memory_and_hide_no_master(
    cluster: Cluster, a: Process, b: Process, tap: Tap
) -> None:
    since = b.log_size
    payload = tap.wait_for(advertises(A), SOON_S, after=tap.mark()).payload
    tap.close()
    stranger = cluster.lab.nodes["stranger"]
    argv = [sys.executable, "-m", "tests.support.flood", str(FLOOD_RATE), str(FLOOD_S), payload.hex()]
    flood = stranger.start(argv)
    flood.wait_for("floods", SOON_S)
    b.wait_for("bad digest from 10.99.1", SOON_S, after=since)
    before_kb = memory_kb(a), memory_kb(b)
    sent = flood.wait_for(re.compile(r"sent \d+"), FLOOD_S + SOON_S)
    after_kb = memory_kb(a), memory_kb(b)
    print(sent, before_kb, after_kb)
    assert max(after - before for before, after in zip(before_kb, after_kb, strict=True)) < GROWTH_MAX_KB
    assert "became" not in a.log[a.log.index("became master") + 1 :]
    assert "became" not in b.log[since:]
    assert cluster.watch.holders_now() == {"a"}
    assert set(members(cluster, "b")) == {A}


def test_questions_that_are_played_again_are_answered_a_few_times_and_move_nothing(
    cluster: Cluster, a: Process, b: Process
) -> None:
    with Tap(cluster.lab.nodes["stranger"]) as tap:
        c = cluster.start("c", "--auth", "hardened", "--advskew", "200", env=LONG)
        wait_until(lambda: {A, B} <= members(cluster, "c").keys())
        questions = [frame for frame in tap.heard if frame.payload[:1] == bytes((SOLICITATION,))]
        assert {str(frame.source) for frame in questions} >= {C}
        c.kill()
        # It knows nobody any more, and the one who asked is gone.
        assert b.stop() == 0
        fresh = cluster.start("b", "--auth", "hardened", "--advskew", "100", env=LONG)
        fresh.wait_for("became backup", SOON_S)
        wait_until(lambda: A in members(cluster, "b"))
        since, mark = (a.log_size, fresh.log_size), tap.mark()
        begun_s = tap.wait_for(advertises(A), SOON_S, after=mark).at_s
        for _ in range(300):
            for question in questions:
                tap.send(ipv4(tap.mac, question.source, question.payload))
        ended_s = tap.wait_for(advertises(A), SOON_S, after=tap.mark()).at_s
        said = [frame for frame in tap.heard[mark:] if frame.is_hardened and begun_s <= frame.at_s <= ended_s]
        for source in (A, B):
            mine = [frame for frame in said if str(frame.source) == source]
            assert len(mine) <= 20 + 6 * (ended_s - begun_s), [frame.payload.hex() for frame in mine]
        assert "became" not in a.log[since[0] :]
        assert "became" not in fresh.log[since[1] :]
        assert C not in members(cluster, "b")


def test_a_bow_out_of_yesterday_makes_no_backup_that_was_just_restarted_take_over(cluster: Cluster) -> None:
    """The master lives; its former self's bow-out, and its own, are the first that the backup hears from it."""
    with Tap(cluster.lab.nodes["stranger"]) as tap:
        given: dict[str, Any] = {"vip": "10.99.0.104", "vhid": 44, "env": LONG}

        def bows_out(frame: Frame) -> bool:
            return frame.is_bow_out and frame.vhid == 44

        yesterday = cluster.start("a", *HARDENED, "--advskew", "40", **given)
        yesterday.wait_for("became master", SOON_S)
        assert yesterday.stop() == 0
        recorded = [tap.wait_for(bows_out, SOON_S)]
        master = cluster.start("a", *HARDENED, "--advskew", "40", **given)
        master.wait_for("became master", SOON_S)
        stepped_down = master.log_size
        cluster["a"].run(["kill", "-USR2", str(master.pid)])
        recorded.append(tap.wait_for(bows_out, SOON_S, after=recorded[0].number))
        master.wait_for("became master", SOON_S, after=stepped_down)
        since = master.log_size
        backup = cluster.start("b", *HARDENED, "--advskew", "80", **given)
        heard = 0
        while heard < 5:
            for frame in recorded:
                tap.send(ipv4(tap.mac, A, frame.payload))
            mark = tap.mark()
            tap.wait_for(advertises(A, vhid=44), SOON_S, after=mark)
            heard += "became backup" in backup.log
        assert "became master" not in backup.log
        assert "became" not in master.log[since:]
        assert master.stop() == backup.stop() == 0


@pytest.mark.skipif(CC is None, reason="no C compiler for wall_clock.c (Debian: gcc)")
def test_a_node_of_1970_and_one_of_2040_are_members(cluster: Cluster, tmp_path: Path) -> None:
    """Both clocks: CLOCK_MONOTONIC, which decides, by a time namespace, and the one that people read."""
    library = tmp_path / "wall_clock.so"
    subprocess.run([str(CC), "-shared", "-fPIC", "-o", str(library), str(SHIM)], check=True)
    past_s, future_s = -56 * 365 * 86400 - 336 * 86400, 14 * 365 * 86400

    def run(name: str, offset_s: int, advskew: str, by: list[str]) -> Process:
        flags = (*HARDENED, "--advskew", advskew)
        env = {**LONG, "LD_PRELOAD": str(library), "WALL_CLOCK_OFFSET_S": str(offset_s)}
        return cluster.start(name, *flags, vip="10.99.0.105", vhid=45, env=env, by=by)

    decades = ["unshare", "--time", f"--monotonic={DECADES_S}", f"--boottime={DECADES_S}", "--"]
    a = run("a", past_s, "40", [])
    a.wait_for("became master", SOON_S)
    b = run("b", future_s, "80", decades)
    b.wait_for("became backup", SOON_S)
    assert a.log.startswith("19")
    assert b.log.startswith("2040")
    wait_until(lambda: A in members(cluster, "b", 45))
    assert members(cluster, "b", 45)[A]["role"] == "master"
    assert a.stop() == 0
    b.wait_for("became master: the master bowed out", SOON_S)
    again = run("a", past_s, "40", [])
    again.wait_for("became backup", SOON_S)
    wait_until(lambda: B in members(cluster, "a", 45))
    b.kill()
    again.wait_for("became master", SOON_S)
    assert again.stop() == 0
