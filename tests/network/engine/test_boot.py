"""Started before the network is as it will be: what time can mend is waited for, logged, and shown in `status`."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process
from tests.support.cluster import FAST, VIP, VIP6, Cluster, cluster_of, holds
from tests.support.command import COMMAND
from tests.support.waits import SOON_S

pytestmark = pytest.mark.network

FAULT = 4
QUICK = (*FAST, "--advskew", "60")
NO_ROUTE = f"interface: none is given, and no network of this machine has {VIP} yet"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with cluster_of("b") as cluster:
        yield cluster


@pytest.fixture
def bare(cluster: Cluster, request: pytest.FixtureRequest) -> Node:
    """A machine without an address."""
    node = cluster.lab.node(f"bare{len(cluster.lab.nodes)}")
    node.run(["ip", "address", "flush", "dev", "eth0"])
    return node


def role_and_reason(node: Node) -> tuple[str, str]:
    status = node.start([*COMMAND, "status", "--json"])
    assert status.wait(SOON_S) == FAULT
    [group] = json.loads(status.log)["engines"][0]["groups"]
    return group["role"], group["reason"]


def serves(node: Node, process: Process) -> None:
    process.wait_for("became master", SOON_S)
    assert holds(node, VIP)
    assert process.stop() == 0


def start(cluster: Cluster, node: Node, *flags: str, interface: str | None = "eth0") -> Process:
    return cluster.start(node.name, *QUICK, *flags, interface=interface)


@pytest.mark.parametrize("gateway", [False, True])
def test_without_an_interface_named_and_no_route_yet(cluster: Cluster, bare: Node, gateway: bool) -> None:
    if gateway:
        # A way that leads elsewhere says nothing about where the address belongs.
        bare.run(["ip", "address", "add", "198.51.100.7/24", "dev", "eth0"])
        bare.run(["ip", "route", "add", "default", "via", "198.51.100.1"])
    process = start(cluster, bare, interface=None)
    process.wait_for(NO_ROUTE, SOON_S)
    process.wait_for("the reporter runs", SOON_S)
    role, reason = role_and_reason(bare)
    assert role == "fault"
    assert reason.startswith(NO_ROUTE)
    bare.run(["ip", "address", "add", f"{bare.address}/24", "dev", "eth0"])
    serves(bare, process)


def test_one_of_two_groups_has_no_route_yet(cluster: Cluster, bare: Node, tmp_path: Path) -> None:
    bare.run(["ip", "address", "add", "198.51.100.7/24", "dev", "eth0"])
    file = tmp_path / "carp.yaml"
    file.write_text(f"groups: [{{vip: {VIP}, name: later}}, {{vip: 198.51.100.9, name: now}}]")
    process = cluster.start(bare.name, *QUICK, "--config", str(file), vip=None, vhid=None, interface=None)
    process.wait_for(NO_ROUTE, SOON_S)
    process.wait_for("now: became master", SOON_S)
    heard = process.log_size
    bare.run(["ip", "address", "add", f"{bare.address}/24", "dev", "eth0"])
    process.wait_for("later: became master", SOON_S)
    assert "now: became" not in process.log[heard:]
    assert process.stop() == 0


def test_an_interface_without_an_address_yet(cluster: Cluster, bare: Node) -> None:
    process = start(cluster, bare)
    process.wait_for("waiting: eth0 has no address to advertise from", SOON_S)
    bare.run(["ip", "address", "add", f"{bare.address}/24", "dev", "eth0"])
    serves(bare, process)


def test_a_source_that_is_not_there_yet(cluster: Cluster, bare: Node) -> None:
    process = start(cluster, bare, "--source", str(bare.address))
    process.wait_for(f"waiting: source: {bare.address} is no address of this machine: give one of eth0", SOON_S)
    bare.run(["ip", "address", "add", f"{bare.address}/24", "dev", "eth0"])
    serves(bare, process)


def test_an_ipv6_source_that_is_still_tentative(cluster: Cluster, bare: Node) -> None:
    bare.shell(
        "echo 1 >/proc/sys/net/ipv6/conf/eth0/accept_dad; echo 4 >/proc/sys/net/ipv6/conf/eth0/dad_transmits"
    )
    bare.run(["ip", "address", "add", f"{bare.address6}/64", "dev", "eth0"])
    process = cluster.start(bare.name, *QUICK, vip=VIP6)
    process.wait_for("waiting: eth0 has no address to advertise from", SOON_S)
    process.wait_for("became master", SOON_S)
    assert holds(bare, VIP6)
    assert process.stop() == 0


def test_a_master_whose_address_is_replaced_hands_over_by_a_bow_out(cluster: Cluster, bare: Node) -> None:
    """As a DHCP client does it: the old one goes first, and the new one comes later."""
    bare.run(["ip", "address", "add", f"{bare.address}/24", "dev", "eth0"])
    first = cluster.start(bare.name, "--advskew", "10")
    first.wait_for("became master", SOON_S)
    second = cluster.start("b", "--advskew", "100")
    second.wait_for("became backup", SOON_S)
    bare.run(["ip", "address", "del", f"{bare.address}/24", "dev", "eth0"])
    second.wait_for("became master: the master bowed out", SOON_S)
    heard = first.log_size
    bare.run(["ip", "address", "add", "10.99.0.77/24", "dev", "eth0"])
    first.wait_for("became backup", SOON_S, after=heard)
    assert (first.stop(), second.stop()) == (0, 0)
