"""What a group can hold, and how many of them one machine can have."""

import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process
from tests.support.cluster import FAST, VIP, VIP6, Cluster, addresses, client_of, cluster_of
from tests.support.tap import Tap
from tests.support.waits import SOON_S, Delay, wait_until

pytestmark = pytest.mark.network

PREFERRED = (*FAST, "--advskew", "40")
OTHER = (*FAST, "--advskew", "80")
SILENT = "became master: no advertisement from the master"
GONE = "became master: the master is silent, and nobody answers for the address"
STARTS_WITHIN_S = 8
SLACK_S = 3
"""What 255 groups may take longer than one; where nothing else runs it is half a second."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with cluster_of("a", "b") as cluster:
        yield cluster


def held_of(wanted: Sequence[str], node: Node) -> set[str]:
    return {address["local"] for address in addresses(node)} & set(wanted)


def stop(*processes: Process) -> None:
    for process in processes:
        assert process.stop() == 0


def test_thirteen_addresses_of_one_group_move_together(cluster: Cluster) -> None:
    vips = [VIP, *(f"10.99.0.{n}" for n in range(101, 113))]
    flags = [word for vip in vips[1:] for word in ("--vip", vip)]
    a, b = cluster.start_one_by_one(("a", (*PREFERRED, *flags)), ("b", (*OTHER, *flags)))
    assert held_of(vips, cluster["a"]) == set(vips)
    assert held_of(vips, cluster["b"]) == set()
    assert a.stop() == 0
    b.wait_for("became master: the master bowed out", SOON_S)
    assert held_of(vips, cluster["a"]) == set()
    assert held_of(vips, cluster["b"]) == set(vips)
    stop(b)


def test_ipv6_alone_is_enough() -> None:
    with cluster_of("a", "b", vip=VIP6) as cluster:
        for name in ("a", "b"):
            cluster[name].run(["ip", "address", "del", f"{cluster[name].address}/24", "dev", "eth0"])
        a, b = cluster.start_one_by_one(("a", PREFERRED), ("b", OTHER))
        with client_of(cluster) as client:
            client.wait_until_answered_by("a", SOON_S)
            since, delay = time.monotonic(), Delay(*cluster["b"].processes)
            assert a.stop() == 0
            b.wait_for("became master: the master bowed out", SOON_S)
            client.wait_until_answered_by("b", SOON_S)
            assert client.longest_outage_s(since) < 0.5 + delay.s
            assert cluster.watch.two_holders_s(since) < 0.1 + delay.s


def test_with_both_families_equal_machines_agree_on_one_master(cluster: Cluster) -> None:
    """Who has the lower IPv4 address has the higher IPv6 one, and as bytes all IPv6 ones are the lower ones."""
    sources = {"a": ("192.168.9.1", "2001:db8::2"), "b": ("192.168.9.2", "2001:db8::1")}
    processes = []
    for name, (v4, v6) in sources.items():
        cluster[name].run(["ip", "address", "add", f"{v4}/24", "dev", "eth0"])
        cluster[name].run(["ip", "address", "add", f"{v6}/64", "dev", "eth0", "nodad"])
        processes.append(cluster.start(name, *OTHER, "--vip", VIP6, "--source", v4, "--source", v6))
    cluster.watch.wait_for_exactly_one(SOON_S)
    for name in sources:
        cluster[name].cut_off()
    cluster.watch.wait_until(lambda holders: holders == {"a", "b"}, SOON_S, "both")
    for name in sources:
        cluster[name].rejoin()
    cluster.watch.wait_until(lambda holders: holders == {"a"}, SOON_S, "a alone, by its IPv4 address")
    cluster.watch.wait_until_quiet(1.5, SOON_S)
    assert cluster.watch.holders_now() == {"a"}
    assert held_of([VIP, VIP6], cluster["a"]) == {VIP, VIP6}
    assert held_of([VIP, VIP6], cluster["b"]) == set()
    stop(*processes)


def test_a_prefix_that_is_given_disturbs_nothing(cluster: Cluster) -> None:
    flags = ("--vip", f"{VIP}/24", "--vip", f"{VIP6}/64")
    process = cluster.start("a", *OTHER, *flags, vip=None)
    process.wait_for("became master", SOON_S)
    a = cluster["a"]
    assert held_of([VIP, VIP6], a) == {VIP, VIP6}
    routes = a.run(["ip", "route"]) + a.run(["ip", "-6", "route"])
    assert "10.99.0.0/24 dev eth0 proto kernel scope link src 10.99.0.11" in routes
    assert VIP not in routes
    stop(process)
    assert "10.99.0.0/24 dev eth0 proto kernel scope link src 10.99.0.11" in a.run(["ip", "route"])
    assert held_of([VIP, VIP6], a) == set()


def file_of_255_groups(directory: Path, advskew: int) -> Path:
    groups = [{"vip": f"10.99.9.{vhid}", "vhid": vhid} for vhid in range(1, 255)]
    groups.append({"vip": VIP, "vhid": 255})
    file = directory / f"carp-{advskew}.yaml"
    file.write_text(yaml.safe_dump({"interface": "eth0", "advskew": advskew, "groups": groups}))
    return file


def test_255_groups_fail_over_after_a_kill_and_come_back_by_a_bow_out(cluster: Cluster, tmp_path: Path) -> None:
    vips = [*(f"10.99.9.{vhid}" for vhid in range(1, 255)), VIP]

    def start(name: str, advskew: int) -> Process:
        since = time.monotonic()
        process = cluster.start(
            name, "--config", str(file_of_255_groups(tmp_path, advskew)), vip=None, vhid=None, interface=None
        )
        delay = Delay(process)
        every_group(process, "became backup: started")
        assert time.monotonic() - since < STARTS_WITHIN_S + delay.s
        return process

    a, b = start("a", 0), start("b", 100)
    every_group(a, SILENT)
    assert held_of(vips, cluster["a"]) == set(vips)

    # Those whose master has answered a question by now are taken over a little sooner.
    since, delay = time.monotonic(), Delay(b)
    a.kill()
    every_group(b, SILENT, GONE)
    assert time.monotonic() - since < 3 + 100 / 256 + SLACK_S + delay.s
    assert held_of(vips, cluster["b"]) == set(vips)
    assert held_of(vips, cluster["a"]) == set()
    assert cluster.watch.two_holders_s(since) == 0

    a = start("a", 0)
    since, delay = time.monotonic(), Delay(a)
    assert b.stop() == 0
    every_group(a, "became master: the master bowed out")
    assert time.monotonic() - since < SLACK_S + delay.s
    assert held_of(vips, cluster["a"]) == set(vips)
    stop(a)
    assert held_of(vips, cluster["a"]) == set()


def test_a_lost_machine_is_not_asked_for_each_of_its_255_groups_again_and_again(tmp_path: Path) -> None:
    unnamed: dict[str, Any] = {"vip": None, "vhid": None, "interface": None}
    with cluster_of("a", "b") as cluster, Tap(cluster.lab.node("ear"), [cluster["b"]]) as tap:
        for name, advskew in (("a", 0), ("b", 100)):
            process = cluster.start(name, "--config", str(file_of_255_groups(tmp_path, advskew)), **unnamed)
            every_group(process, SILENT if name == "a" else "became backup: started")
        # In its first interval each asks once whether this master answers at all.
        wait_until(lambda: len({frame.asked for frame in tap.heard if frame.asked}) == 255)
        before = tap.mark()
        cluster["a"].power_off()
        every_group(process, SILENT, GONE)
        asked = [frame.asked for frame in tap.heard[before:] if frame.asked]
        assert len(asked) < 2 * 255
        assert process.log.count(GONE) > 200


def every_group(process: Process, *texts: str) -> None:
    """Wait until each of the 255 has logged one of these."""
    missing = {f"vhid-{vhid}" for vhid in range(1, 256)}
    while missing:
        said = (line.split(" ", 3)[2:] for line in process.log.splitlines() if line.endswith(texts))
        missing -= {name.removesuffix(":") for name, _ in said}
        if missing:
            of_one = "|".join(re.escape(f" {next(iter(missing))}: {text}") for text in texts)
            process.wait_for(re.compile(of_one), SOON_S)
