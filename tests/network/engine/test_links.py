"""Cables, interfaces and their addresses come and go; what the kernel says of them counts at once."""

import time
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from carpsidecar.engine.announcements import ANNOUNCE_AGAIN_AFTER_S, REFRESH_AFTER_S
from carpsidecar.lab.node import Node
from carpsidecar.lab.process import Process
from carpsidecar.linux.frames import gratuitous_arp
from tests.support.cluster import FAST, VIP, VIP6, Cluster, addresses, cluster_of, holds
from tests.support.tap import Tap, announces
from tests.support.waits import SOON_S, Delay, wait_until

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


def test_another_hardware_address_is_announced_at_once_and_claims_are_still_heard(
    cluster: Cluster, a: Process
) -> None:
    """As when a bond fails over, or a bridge gains a port."""
    new = "02:00:00:00:aa:01"
    with Tap(cluster["b"]) as tap:
        cluster["a"].run(["ip", "link", "set", "eth0", "address", new])
        tap.wait_for(announces(VIP, new), SOON_S)
        after = tap.mark()
        tap.send(gratuitous_arp(tap.mac, IPv4Address(VIP))[0])
        # The announcements that follow a change end after three seconds, and the next comes after ten.
        a.wait_for(f"{tap.mac.hex(':')} claims {VIP}", SOON_S)
        tap.wait_for(announces(VIP, new), SOON_S, after)


def test_a_bridge_that_gains_a_port_announces_again(cluster: Cluster) -> None:
    node = cluster.lab.node("bridge")
    node.shell(
        "ip link add br0 type bridge mcast_snooping 0 && ip link set br0 address 02:00:00:00:bb:01 up"
        f" && ip address del {node.address}/24 dev eth0 && ip link set eth0 master br0"
        f" && ip address add {node.address}/24 dev br0"
    )
    announced = announces("10.99.0.104", "02:00:00:00:bb:01")
    with Tap(cluster["b"]) as tap:
        process = cluster.start("bridge", *OTHER, vip="10.99.0.104", vhid=46, interface="br0")
        after = 0
        for _ in range(2 * (1 + len(ANNOUNCE_AGAIN_AFTER_S))):  # each as request and as reply
            after = tap.wait_for(announced, SOON_S, after).number
        node.shell(
            "ip link add far type veth peer name port && ip link set far up && ip link set port master br0 up"
        )
        tap.wait_for(announced, REFRESH_AFTER_S / 2, after)
    assert process.stop() == 0


def test_an_alternative_name_is_the_interfaces_name(cluster: Cluster) -> None:
    node = cluster.lab.node("named")
    name = "enp3s0f0np0-of-a-card"
    process = cluster.start("named", *OTHER, vip="10.99.0.105", vhid=47, interface=name)
    process.wait_for(f"waiting: interface {name} is not there", SOON_S)
    node.run(["ip", "link", "property", "add", "dev", "eth0", "altname", name])
    process.wait_for("became master", SOON_S)
    assert holds(node, "10.99.0.105")

    def is_alone() -> None:
        again = cluster.start("named", *OTHER, vip="10.99.0.105", vhid=47, interface="eth0")
        again.wait_for("another carpsidecar serves it on this machine", SOON_S)
        assert process.stop() == 0

    is_alone()
    process = cluster.start("named", *OTHER, vip="10.99.0.105", vhid=47, interface=name)
    process.wait_for("became master", SOON_S)
    is_alone()


def test_a_masters_own_address_that_comes_later_stays_the_interfaces_first(cluster: Cluster, a: Process) -> None:
    node = cluster["a"]
    node.run(["ip", "address", "add", "10.98.0.1/24", "dev", "eth0"])
    try:
        wait_until(lambda: [at["local"] for at in addresses(node) if at["family"] == "inet"][-1] == VIP)
    finally:
        node.run(["ip", "address", "del", "10.98.0.1/24", "dev", "eth0"])
