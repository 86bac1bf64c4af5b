"""Addresses on a lease, against a real kernel."""

import errno
import subprocess
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface, ip_address, ip_interface

import pytest

from carpsidecar.linux.lease import Lease, left_over, take_off
from carpsidecar.linux.monitor import AddressRemoved, Monitor
from carpsidecar.linux.netlink import IPInterface, Netlink, NetlinkError
from tests.network.linux.helpers import Node, gather, two_nodes
from tests.support.waits import Delay

pytestmark = pytest.mark.network

VIP = IPv4Interface("10.0.0.100/32")
VIP6 = IPv6Interface("fd00::100/128")


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[Node, Node]]:
    with two_nodes() as pair:
        yield pair


@pytest.fixture
def node(nodes: tuple[Node, Node]) -> Node:
    return nodes[0]


@pytest.fixture
def netlink(node: Node) -> Iterator[Netlink]:
    with node.inside():
        netlink = Netlink()
    yield netlink
    take_off(netlink, [held for held in netlink.addresses() if held.leased])
    netlink.close()


def held_now(netlink: Netlink, *wanted: IPInterface) -> set[str]:
    return {str(held.interface.ip) for held in left_over(netlink, wanted)}


def test_renew_adds_what_is_missing_and_release_removes_it(node: Node, netlink: Netlink) -> None:
    lease = Lease(netlink, node.index, [VIP, VIP6], 30)
    lease.renew()
    v4, v6 = left_over(netlink, [VIP, VIP6])
    assert (str(v4.interface), str(v6.interface)) == ("10.0.0.100/32", "fd00::100/128")
    for held in (v4, v6):
        assert held.index == node.index
        assert held.deprecated
        assert held.noprefixroute
        assert not held.permanent
        assert not held.tentative
        assert held.leased
        assert held.valid_s is not None
        assert 20 < held.valid_s <= 30
    lease.release()
    assert left_over(netlink, [VIP, VIP6]) == []


def test_renew_prolongs(node: Node, netlink: Netlink) -> None:
    Lease(netlink, node.index, [VIP, VIP6], 5).renew()
    Lease(netlink, node.index, [VIP, VIP6], 50).renew()
    assert [(held.valid_s or 0) > 40 for held in left_over(netlink, [VIP, VIP6])] == [True, True]


def test_a_lease_that_is_not_renewed_runs_out_by_itself(node: Node, netlink: Netlink) -> None:
    with node.inside():
        monitor = Monitor()
    began, delay = time.monotonic(), Delay()
    Lease(netlink, node.index, [VIP, VIP6], 1).renew()
    events = gather(
        monitor,
        monitor.read,
        lambda got: {VIP.ip, VIP6.ip} <= {e.address for e in got if isinstance(e, AddressRemoved)},
    )
    monitor.close()
    assert events
    assert time.monotonic() - began < 4 + delay.s
    assert left_over(netlink, [VIP, VIP6]) == []


def test_a_lease_that_is_renewed_outlives_its_lifetime(node: Node, netlink: Netlink) -> None:
    with node.inside():
        monitor = Monitor()
    lease = Lease(netlink, node.index, [VIP, VIP6], 3)
    other = Lease(netlink, node.index, [ip_interface("10.0.0.101/32")], 1)
    for _ in range(4):  # the expiry of another address tells the time
        other.renew()
        lease.renew()
        gather(monitor, monitor.read, lambda got: any(isinstance(e, AddressRemoved) for e in got))
        assert held_now(netlink, VIP, VIP6) == {str(VIP.ip), str(VIP6.ip)}
    monitor.close()


def test_renew_puts_back_what_somebody_removed(node: Node, netlink: Netlink) -> None:
    lease = Lease(netlink, node.index, [VIP, VIP6], 30)
    lease.renew()
    node.ip("addr", "del", "10.0.0.100/32", "dev", "net0")
    node.ip("addr", "del", "fd00::100/128", "dev", "net0")
    assert held_now(netlink, VIP, VIP6) == set()
    lease.renew()
    assert held_now(netlink, VIP, VIP6) == {str(VIP.ip), str(VIP6.ip)}


def test_release_of_what_is_not_there_is_fine(node: Node, netlink: Netlink) -> None:
    Lease(netlink, node.index, [VIP, VIP6], 30).release()
    Lease(netlink, 9999, [VIP, VIP6], 30).release()


def test_release_takes_off_what_stands_there_with_another_prefix(node: Node, netlink: Netlink) -> None:
    node.ip("addr", "add", "10.0.0.100/24", "dev", "net0")
    node.ip("addr", "add", "fd00::100/64", "dev", "net0")
    Lease(netlink, node.index, [VIP, VIP6], 30).release()
    assert left_over(netlink, [VIP, VIP6]) == []
    assert held_now(netlink, ip_interface("10.0.0.1/24")) == {"10.0.0.1"}


@pytest.mark.parametrize("count", [13, 1000])
def test_a_batch_of_many_addresses(node: Node, netlink: Netlink, count: int) -> None:
    addresses: list[IPInterface] = [ip_interface(int(IPv4Address("10.1.0.1")) + n) for n in range(count // 2)]
    addresses += [ip_interface(int(ip_address("fd00:1::1")) + n) for n in range(count - count // 2)]
    lease = Lease(netlink, node.index, addresses, 60)
    lease.renew()
    lease.renew()
    assert len(left_over(netlink, addresses)) == count
    lease.release()
    assert left_over(netlink, addresses) == []
    lease.release()


def test_renew_on_an_interface_that_is_gone_says_so(netlink: Netlink) -> None:
    addresses: list[IPInterface] = [
        VIP,
        VIP6,
        *(IPv4Interface(f"10.9.{n // 250}.{n % 250 + 1}") for n in range(998)),
    ]
    with pytest.raises(NetlinkError, match="the interface is gone") as raised:
        Lease(netlink, 9999, addresses, 30).renew()
    assert raised.value.errno == errno.ENODEV
    assert "cannot hold 10.0.0.100" in str(raised.value)
    assert "999 more of 1000" in str(raised.value)
    assert netlink.links()  # nothing of the failure is left in the socket


def test_renew_where_ipv6_is_off_says_so_and_still_holds_ipv4(node: Node, netlink: Netlink) -> None:
    node.ip("link", "add", "net1", "type", "bridge")
    try:
        node.sysctl("ipv6/conf/net1/disable_ipv6", "1")
        index = next(link.index for link in netlink.links() if link.name == "net1")
        with pytest.raises(NetlinkError, match=r"cannot hold fd00::100 .*IPv6 is off there"):
            Lease(netlink, index, [VIP6, VIP], 30).renew()
        assert held_now(netlink, VIP, VIP6) == {str(VIP.ip)}
    finally:
        node.ip("link", "del", "net1")


def source_to(node: Node, destination: str) -> str | None:
    words = node.ip("route", "get", destination).split()
    return words[words.index("src") + 1] if "src" in words else None


@pytest.mark.parametrize("prefix", [32, 24])
def test_the_address_is_never_the_primary_one(node: Node, netlink: Netlink, prefix: int) -> None:
    """The network is restarted while we hold the address: ours is there first, the node's own comes after."""
    own = ["10.0.0.1/24", "dev", "net0"]
    vip = IPv4Interface(f"10.0.0.100/{prefix}")
    lease = Lease(netlink, node.index, [vip], 30)
    node.ip("addr", "del", *own)
    try:
        lease.renew()
        node.ip("route", "add", "10.77.0.0/16", "dev", "net0")
        assert source_to(node, "10.77.0.1") is None
    finally:
        node.ip("addr", "add", *own)
    lease.renew()
    node.ip("route", "add", "default", "via", "10.0.0.2")
    for destination in ("10.0.0.2", "10.77.0.1", "203.0.113.1"):
        assert source_to(node, destination) == "10.0.0.1"
    (mine,) = left_over(netlink, [ip_interface("10.0.0.1/24")])
    assert not mine.secondary
    lease.release()
    assert held_now(netlink, ip_interface("10.0.0.1/24")) == {"10.0.0.1"}
    assert source_to(node, "203.0.113.1") == "10.0.0.1"
    node.ip("route", "del", "default")
    node.ip("route", "del", "10.77.0.0/16", "dev", "net0")


def test_ipv6_is_not_picked_as_source(node: Node, netlink: Netlink) -> None:
    Lease(netlink, node.index, [IPv6Interface("fd00::100/64")], 30).renew()
    assert "src fd00::1 " in node.ip("route", "get", "fd00::2")
    routes = node.ip("-6", "route", "show", "dev", "net0")
    assert routes.count("fd00::/64") == 1


def test_the_other_machine_reaches_the_address(nodes: tuple[Node, Node], node: Node, netlink: Netlink) -> None:
    Lease(netlink, node.index, [VIP, VIP6], 30).renew()
    for address in (VIP.ip, VIP6.ip):
        with nodes[1].inside():
            done = subprocess.run(["ping", "-c", "1", "-W", "5", str(address)], capture_output=True, check=False)
        assert done.returncode == 0, done.stdout


def test_a_lease_takes_at_least_a_second(netlink: Netlink) -> None:
    with pytest.raises(ValueError, match="at least one second"):
        Lease(netlink, 1, [VIP], 0)
