"""Strangers flood the segment with what only its digest tells from an advertisement: nobody takes over."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from carpsidecar.lab.node import Node
from tests.network.control.client import ask
from tests.support.cluster import cluster_of
from tests.support.frames import altered, ipv4
from tests.support.tap import Tap, advertises
from tests.support.waits import SOON_S, wait_until

pytestmark = pytest.mark.network

A_SECOND, LASTS_S = 200_000, 4.0
"""As fast as this machine can, and for longer than a backup waits for its master."""


def test_no_backup_loses_its_master(tmp_path: Path) -> None:
    with cluster_of("a", "b") as cluster, Tap(cluster.lab.node("stranger"), [cluster["a"]]) as tap:
        a, b = cluster.start_one_by_one(("a", ()), ("b", ("--advskew", "20")))
        good = tap.wait_for(advertises(cluster["a"].address), SOON_S).payload
        forged = altered(good, b2=0, b5=0, b35=good[35] ^ 1)
        frames = tmp_path / "frames"
        frames.write_text("\n".join(ipv4(tap.mac, f"10.99.0.{n}", forged).hex() for n in range(30, 230)))
        heard, sizes = received(cluster["b"]), [a.log_size, b.log_size]

        flood = [sys.executable, "-m", "bench.flood", str(frames), str(A_SECOND), str(LASTS_S)]
        flooding = cluster.lab.nodes["stranger"].start(flood)
        sent = int(flooding.wait_for("flood: sent", LASTS_S + SOON_S).split()[2])

        assert sent > 10_000
        wait_until(lambda: dropped(cluster["b"]) > sent / 2)
        assert received(cluster["b"]) > heard, "the master is heard through it"
        assert all("became" not in process.log[size:] for process, size in zip((a, b), sizes, strict=True))
        assert cluster.watch.holders_now() == {"a"}


def engine_of(node: Node) -> dict[str, Any]:
    [engine] = json.loads(ask(node, "status", "--json").stdout)["engines"]
    found: dict[str, Any] = engine
    return found


def received(node: Node) -> int:
    [group] = engine_of(node)["groups"]
    return int(group["counters"].get("advertisements_received", 0))


def dropped(node: Node) -> int:
    return sum(engine_of(node)["drops"].get("eth0", {}).values())
