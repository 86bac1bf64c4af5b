"""Addresses on a lease, against a real kernel."""

import errno
import fcntl
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface, ip_address, ip_interface

import pytest

from carpsidecar.linux.lease import Lease, left_over, renew, take_off
from carpsidecar.linux.monitor import AddressAdded, AddressRemoved, Event, Monitor
from carpsidecar.linux.netlink import HeldAddress, IPInterface, Netlink, NetlinkError
from carpsidecar.linux.packet_filter import answer, assemble
from tests.network.linux.helpers import Node, gather, run
from tests.support.waits import Delay

pytestmark = pytest.mark.network

VIP = IPv4Interface("10.0.0.100/32")
VIP6 = IPv6Interface("fd00::100/128")


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


def test_of_many_leases_at_once_each_has_an_end_of_its_own(node: Node, netlink: Netlink) -> None:
    first, second, gone = (
        Lease(netlink, index, [address], 30, beside=())
        for index, address in ((node.index, VIP), (node.index, VIP6), (9999, IPv4Interface("10.0.0.101/32")))
    )
    assert renew([first, second], netlink) == [None, None]
    first.release()
    ended = renew([first, gone, second], netlink)
    assert [type(error) for error in ended] == [type(None), NetlinkError, type(None)]
    assert "cannot hold 10.0.0.101 on interface 9999" in str(ended[1])
    assert held_now(netlink, VIP, VIP6) == {"10.0.0.100", "fd00::100"}


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


def listed(node: Node) -> list[str]:
    """The interface's IPv4 addresses in the kernel's order, which is what `hostname -I` shows."""
    with node.inside():
        return [a for a in run("hostname", "-I").split() if ":" not in a]


def first_by_ioctl(node: Node) -> str:
    with node.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, 0x8915, struct.pack("16s16x", b"net0"))  # SIOCGIFADDR
    return socket.inet_ntoa(answer[20:24])


def rearranged(netlink: Netlink, node: Node, *addresses: IPInterface) -> Lease:
    return Lease(netlink, node.index, addresses, 30, rearrange=True)


def test_beside_an_own_address_ours_stands_last(node: Node, netlink: Netlink) -> None:
    lease = Lease(netlink, node.index, [VIP], 30)
    lease.renew()
    assert (listed(node), first_by_ioctl(node)) == (["10.0.0.1", "10.0.0.100"], "10.0.0.1")
    assert source_to(node, "10.0.0.2") == "10.0.0.1"


@pytest.mark.parametrize("prefix", [32, 24])
def test_own_addresses_come_and_go_and_ours_stays_last_and_no_source(
    node: Node, netlink: Netlink, prefix: int
) -> None:
    """The network is restarted while we hold the address, with another subnet before the first is back."""
    own = ["10.0.0.1/24", "dev", "net0"]
    vip = IPv4Interface(f"10.0.0.100/{prefix}")
    node.ip("addr", "del", *own)
    try:
        rearranged(netlink, node, vip).renew()
        node.ip("route", "add", "10.77.0.0/16", "dev", "net0")
        assert source_to(node, "10.77.0.1") is None
        node.ip("addr", "add", "10.5.0.1/24", "dev", "net0")
        rearranged(netlink, node, vip).renew()
        assert listed(node) == ["10.5.0.1", "10.0.0.100"]
        assert source_to(node, "10.77.0.1") == "10.5.0.1"
    finally:
        node.ip("addr", "add", *own)
    rearranged(netlink, node, vip).renew()
    assert listed(node) == ["10.5.0.1", "10.0.0.1", "10.0.0.100"]
    assert "10.0.0.100/32" in node.ip("addr", "show", "dev", "net0")
    node.ip("addr", "del", "10.5.0.1/24", "dev", "net0")
    node.ip("route", "add", "default", "via", "10.0.0.2")
    lease = rearranged(netlink, node, vip)
    lease.renew()
    assert (listed(node), first_by_ioctl(node)) == (["10.0.0.1", "10.0.0.100"], "10.0.0.1")
    for destination in ("10.0.0.2", "10.77.0.1", "203.0.113.1"):
        assert source_to(node, destination) == "10.0.0.1"
    (mine,) = left_over(netlink, [ip_interface("10.0.0.1/24")])
    assert not mine.secondary
    lease.release()
    assert held_now(netlink, ip_interface("10.0.0.1/24")) == {"10.0.0.1"}
    assert source_to(node, "203.0.113.1") == "10.0.0.1"
    node.ip("route", "del", "default")
    node.ip("route", "del", "10.77.0.0/16", "dev", "net0")


def test_many_leases_are_arranged_anew_by_one_look_at_what_is_there(
    node: Node, netlink: Netlink, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = [IPv4Interface(f"10.0.0.{number}/32") for number in range(100, 120)]
    before = netlink.addresses(node.index)
    Lease(netlink, node.index, addresses, 60, before).renew()
    node.ip("addr", "add", "192.0.2.1/24", "dev", "net0")
    try:
        beside = netlink.addresses(node.index)
        leases = [Lease(netlink, node.index, [one], 60, beside, rearrange=True) for one in addresses]
        looks, look = list[int | None](), netlink.address_messages

        def counted(index: int | None = None) -> list[tuple[HeldAddress, bytes]]:
            looks.append(index)
            return look(index)

        monkeypatch.setattr(netlink, "address_messages", counted)
        assert renew(leases, netlink) == [None] * len(leases)
        assert renew(leases, netlink) == [None] * len(leases)
        assert looks == [node.index]
        held = [one for one in look(node.index) if one[0].interface.version == 4]
        assert [one.leased for one, _ in held] == [False] * (len(held) - 20) + [True] * 20
        assert {one.interface for one, _ in held if one.leased} == set(addresses)
    finally:
        node.ip("addr", "del", "192.0.2.1/24", "dev", "net0")


def test_an_own_address_that_depended_on_ours_keeps_all_that_it_had(node: Node, netlink: Netlink) -> None:
    """It came while ours had the network to itself, and so the kernel made it secondary to ours."""
    vip = IPv4Interface("10.9.9.1/24")
    rearranged(netlink, node, vip).renew()
    lifetimes = ["valid_lft", "900", "preferred_lft", "800"]
    node.ip("addr", "add", "10.9.9.11/24", "brd", "+", "dev", "net0", "label", "net0:own", *lifetimes)
    try:
        assert "scope global secondary dynamic net0:own" in node.ip("addr", "show", "dev", "net0")
        rearranged(netlink, node, vip).renew()
        shown = node.ip("addr", "show", "dev", "net0")
        assert "inet 10.9.9.11/24 brd 10.9.9.255 scope global dynamic net0:own" in shown
        assert "inet 10.9.9.1/32 scope global deprecated" in shown
        assert source_to(node, "10.9.9.50") == "10.9.9.11"
        assert listed(node)[-1] == "10.9.9.1"
    finally:
        node.ip("addr", "del", "10.9.9.11/24", "dev", "net0")


def test_an_address_that_is_moved_is_never_away(
    node: Node, netlink: Netlink, monkeypatch: pytest.MonkeyPatch
) -> None:
    rearranged(netlink, node, VIP).renew()
    monkeypatch.setattr("carpsidecar.linux.monitor.no_renewals", lambda: assemble([answer(0xFFFFFFFF)]))
    with node.inside():
        monitor = Monitor()
    node.ip("addr", "add", "10.5.0.1/24", "dev", "net0")
    try:
        rearranged(netlink, node, VIP).renew()
        present = 1
        for event in gather(monitor, monitor.read, lambda got: len(removals(got)) == 2):
            if isinstance(event, AddressAdded | AddressRemoved) and event.address == VIP.ip:
                present += 1 if isinstance(event, AddressAdded) else -1
                assert present >= 1
    finally:
        node.ip("addr", "del", "10.5.0.1/24", "dev", "net0")
        monitor.close()


def removals(events: list[Event]) -> list[AddressRemoved]:
    return [event for event in events if isinstance(event, AddressRemoved) and event.address == VIP.ip]


def test_a_prefix_is_kept_with_its_route_where_the_node_has_no_address_in_it(node: Node, netlink: Netlink) -> None:
    addresses: list[IPInterface] = [ip_interface("10.9.9.1/24"), ip_interface("fd09::1/64")]
    lease = Lease(netlink, node.index, addresses, 30)
    lease.renew()
    lease.renew()
    v4, v6 = left_over(netlink, addresses)
    assert (str(v4.interface), str(v6.interface)) == ("10.9.9.1/24", "fd09::1/64")
    assert v4.leased
    assert v6.leased
    assert "10.9.9.0/24 proto kernel scope link src 10.9.9.1 metric 65535" in node.ip(
        "route", "show", "dev", "net0"
    )
    assert "fd09::/64 proto kernel metric 65535 expires" in node.ip("-6", "route", "show", "dev", "net0")
    assert source_to(node, "10.9.9.50") == "10.9.9.1"
    lease.release()
    assert "10.9.9.0" not in node.ip("route", "show", "dev", "net0")


def test_two_addresses_of_one_network_do_not_hang_on_each_other(node: Node, netlink: Netlink) -> None:
    first, second = ip_interface("10.9.9.1/24"), ip_interface("10.9.9.2/24")
    Lease(netlink, node.index, [first, second], 30).renew()
    Lease(netlink, node.index, [first], 30).release()
    assert held_now(netlink, first, second) == {"10.9.9.2"}


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
