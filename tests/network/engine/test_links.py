"""Cables, interfaces and their addresses come and go; what the kernel says of them counts at once."""

import time
from collections.abc import Iterator

import pytest

from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process
from tests.support.cluster import FAST, VIP, VIP6, Cluster, cluster_of, holds
from tests.support.waits import SOON_S, Delay

pytestmark = pytest.mark.network

PREFERRED = (*FAST, "--advskew", "40", "--preempt")
OTHER = (*FAST, "--advskew", "80")
AT_ONCE_S = 0.2


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with cluster_of("a", "b") as cluster:
        cluster.start_one_by_one(("a", PREFERRED), ("b", OTHER))
        yield cluster


@pytest.fixture
def a(cluster: Cluster) -> Iterator[Process]:
    """The preferred machine's daemon, master before and after."""
    a_alone(cluster)
    yield cluster["a"].processes[0]
    a_alone(cluster)


def a_alone(cluster: Cluster) -> None:
    cluster.watch.wait_until(lambda holders: holders == {"a"}, SOON_S, "a alone")


def test_a_pulled_cable_is_told_at_once_and_plugged_in_it_takes_part_again(cluster: Cluster, a: Process) -> None:
    heard, since, delay = a.log_size, time.monotonic(), Delay(a)
    cluster["a"].pull_cable()
    pulled_at = time.monotonic()
    a.wait_for("became fault: the link of eth0 is down", SOON_S, after=heard)
    cluster.watch.wait_for_holder("b", SOON_S)
    lost, taken = (change for change in cluster.watch.changes if change.at > since)
    assert (lost.node, lost.held, taken.node) == ("a", False, "b"), "no overlap"
    assert lost.at - pulled_at < AT_ONCE_S + delay.s

    heard = a.log_size
    cluster["a"].plug_cable()
    a.wait_for("became backup: the link is back", SOON_S, after=heard)
    a.wait_for("became master: preempting", SOON_S, after=heard)


def test_a_deleted_interface_takes_part_again_when_it_is_re_created(cluster: Cluster, a: Process) -> None:
    heard = a.log_size
    cluster["a"].delete_interface()
    # The kernel takes an interface down before it deletes it.
    a.wait_for("became fault:", SOON_S, after=heard)
    a.wait_for("interface eth0 is not there", SOON_S, after=heard)
    cluster.watch.wait_until(lambda holders: holders == {"b"}, SOON_S, "b alone")

    heard = a.log_size
    cluster["a"].create_interface()
    a.wait_for("became backup: the link is back", SOON_S, after=heard)
    a.wait_for("became master: preempting", SOON_S, after=heard)


def test_a_renamed_interface_is_another_one(cluster: Cluster, a: Process) -> None:
    heard = a.log_size
    rename(cluster["a"], "eth0", "lan0")
    a.wait_for("became fault: interface eth0 is not there", SOON_S, after=heard)
    cluster.watch.wait_until(lambda holders: holders == {"b"}, SOON_S, "b alone: the address does not stay on lan0")
    assert not holds(cluster["a"], VIP, "lan0")

    heard = a.log_size
    rename(cluster["a"], "lan0", "eth0")
    a.wait_for("became backup: the link is back", SOON_S, after=heard)
    a.wait_for("became master: preempting", SOON_S, after=heard)


def rename(node: Node, old: str, new: str) -> None:
    # Linux renames an interface that is up since 6.2; before that it has to go down first.
    node.shell(f"ip link set {old} name {new} || {{ ip link set {old} down name {new}; ip link set {new} up; }}")


def test_without_an_address_of_its_own_it_cannot_advertise(cluster: Cluster, a: Process) -> None:
    node, heard = cluster["a"], a.log_size
    node.run(["ip", "address", "del", f"{node.address}/24", "dev", "eth0"])
    a.wait_for("became fault: eth0 has no address to advertise from", SOON_S, after=heard)
    cluster.watch.wait_until(lambda holders: holders == {"b"}, SOON_S, "b alone")

    heard = a.log_size
    node.run(["ip", "address", "add", f"{node.address}/24", "dev", "eth0"])
    a.wait_for("became backup: the link is back", SOON_S, after=heard)
    a.wait_for("became master: preempting", SOON_S, after=heard)


def test_an_interface_that_is_not_there_yet_is_waited_for(cluster: Cluster) -> None:
    node = cluster.lab.node("late")
    node.delete_interface()
    late = cluster.start("late", *OTHER, vip="10.99.0.101", vhid=43)
    late.wait_for("waiting: interface eth0 is not there", SOON_S)

    node.create_interface()
    late.wait_for("became backup: the link is back", SOON_S)
    late.wait_for("became master", SOON_S)
    assert holds(node, "10.99.0.101")
    assert late.stop() == 0


def test_an_interface_that_is_down_is_waited_for(cluster: Cluster) -> None:
    node = cluster.lab.node("down")
    node.run(["ip", "link", "set", "eth0", "down"])
    late = cluster.start("down", *OTHER, vip="10.99.0.102", vhid=44)
    late.wait_for("waiting: the link of eth0 is down", SOON_S)

    node.run(["ip", "link", "set", "eth0", "up"])
    late.wait_for("became master", SOON_S)
    assert holds(node, "10.99.0.102")
    assert late.stop() == 0


def test_with_ignore_link_it_stays_master_without_a_cable(cluster: Cluster) -> None:
    node = cluster.lab.node("stays")
    flags = ("--advbase", "0", "--advskew", "80", "--ignore-link")
    stays = cluster.start("stays", *flags, vip="10.99.0.103", vhid=45)
    stays.wait_for("became master", SOON_S)
    heard = stays.log_size
    node.pull_cable()
    # Five advertisements later it is what it was.
    with pytest.raises(TimeoutError):
        stays.wait_for("became", 5 * 80 / 256, after=heard)
    assert holds(node, "10.99.0.103")
    assert stays.stop() == 0


def test_a_node_that_could_not_add_the_addresses_is_preferred_again_when_its_link_stalled() -> None:
    """An interface may vanish while a master renews; with another one there is no reason to stay demoted."""
    with cluster_of("a", "b") as cluster:
        both = ("--vip", VIP6)
        (a, _) = cluster.start_one_by_one(("a", (*PREFERRED, *both)), ("b", (*OTHER, *both)))
        heard = a.log_size
        cluster["a"].run(["sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1"])
        a.wait_for("demotion by addresses: 240", SOON_S, after=heard)
        cluster.watch.wait_until(lambda holders: holders == {"b"}, SOON_S, "b alone")
        cluster["a"].run(["sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=0"])
        cluster["a"].pull_cable()
        a.wait_for("demotion by addresses: 0", SOON_S, after=heard)
        cluster["a"].plug_cable()
        a_alone(cluster)
