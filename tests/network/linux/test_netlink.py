"""Questions to a real kernel, and which interface and source follow from the answers."""

import errno
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface

import pytest

from carpsidecar.linux.lease import Lease
from carpsidecar.linux.netlink import Link, Netlink, NetlinkError, Route
from carpsidecar.linux.routes import interface_for, source_for
from tests.network.linux.helpers import Node, two_nodes

pytestmark = pytest.mark.network


@pytest.fixture
def node() -> Iterator[Node]:
    with two_nodes() as pair:
        yield pair[0]


@pytest.fixture
def netlink(node: Node) -> Iterator[Netlink]:
    with node.inside():
        netlink = Netlink()
    yield netlink
    netlink.close()


def test_links(node: Node, netlink: Netlink) -> None:
    links = {link.name: link for link in netlink.links()}
    assert links["net0"] == Link(node.index, "net0", True, node.mac, False)
    assert links["lo"].loopback
    node.ip("link", "set", "net0", "down")
    assert not {link.name: link.up for link in netlink.links()}["net0"]


def test_a_long_list_is_complete(node: Node, netlink: Netlink) -> None:
    lease = Lease(netlink, node.index, [ip_interface(f"10.3.{n // 200}.{n % 200}/32") for n in range(1500)], 60)
    lease.renew()
    assert sum(held.leased for held in netlink.addresses(node.index)) == 1500


def test_addresses_of_one_interface_only(node: Node, netlink: Netlink) -> None:
    assert {held.index for held in netlink.addresses()} == {1, node.index}
    held = netlink.addresses(node.index)
    assert {str(h.interface) for h in held if not h.interface.is_link_local} == {"10.0.0.1/24", "fd00::1/64"}
    assert all(h.permanent and h.valid_s is None for h in held)
    assert netlink.addresses(9999) == []


def test_routes(node: Node, netlink: Netlink) -> None:
    assert netlink.route(IPv4Address("10.0.0.9")) == Route(node.index, IPv4Address("10.0.0.1"), False, False)
    assert netlink.route(IPv6Address("fd00::9")) == Route(node.index, IPv6Address("fd00::1"), False, False)
    for unreachable in ("203.0.113.1", "2001:db8::1", "10.0.0.255"):
        assert netlink.route(ip_address(unreachable)) is None
    for own in ("10.0.0.1", "fd00::1"):
        route = netlink.route(ip_address(own))
        assert route is not None
        assert route.local
    node.ip("route", "add", "203.0.113.0/24", "via", "10.0.0.2")
    node.ip("route", "add", "blackhole", "198.51.100.0/24")
    node.ip("route", "add", "unreachable", "2001:db8::/64")
    route = netlink.route(IPv4Address("203.0.113.1"))
    assert route is not None
    assert route.gateway
    assert netlink.route(IPv4Address("198.51.100.1")) is None
    assert netlink.route(IPv6Address("2001:db8::1")) is None


def test_nothing_is_left_to_read_after_an_error(netlink: Netlink) -> None:
    with pytest.raises(NetlinkError) as raised:
        netlink.execute(b"\x14\0\0\0" + b"\xf0\0" + b"\x01\0" + bytes(12))
    assert raised.value.errno == errno.EOPNOTSUPP
    assert netlink.links()


def test_the_interface_is_the_one_that_reaches_it_directly(node: Node, netlink: Netlink) -> None:
    for text in ("10.0.0.100", "fd00::100"):
        link = interface_for(netlink, ip_address(text))
        assert link is not None
        assert link.name == "net0"
    node.ip("route", "add", "default", "via", "10.0.0.2")
    node.ip("route", "add", "default", "via", "fd00::2")
    for text in ("203.0.113.1", "2001:db8::1", "127.0.0.5", "fe80::1"):
        assert interface_for(netlink, ip_address(text)) is None


def test_the_interface_of_an_address_that_was_left_over(node: Node, netlink: Netlink) -> None:
    node.ip("link", "add", "net1", "type", "bridge")
    node.ip("addr", "add", "10.0.0.100/32", "dev", "net1")
    node.ip("addr", "add", "fe80::100/64", "dev", "net1")
    node.ip("addr", "add", "10.0.0.101/32", "dev", "lo")
    node.ip("addr", "add", "203.0.113.1/32", "dev", "lo")
    names = {
        text: interface_for(netlink, ip_address(text))
        for text in ("10.0.0.100", "fe80::100", "10.0.0.101", "203.0.113.1")
    }
    assert {text: link and link.name for text, link in names.items()} == {
        "10.0.0.100": "net1",
        "fe80::100": "net1",
        "10.0.0.101": "net0",
        "203.0.113.1": None,
    }


def test_the_source_is_the_primary_global_address_and_never_a_virtual_one(node: Node, netlink: Netlink) -> None:
    index, own = node.index, ip_address("10.0.0.1")
    Lease(netlink, index, [ip_interface("10.0.0.100/32")], 60).renew()
    node.ip("addr", "add", "10.0.0.50/24", "dev", "net0")
    node.ip("addr", "add", "169.254.7.7/16", "scope", "link", "dev", "net0")
    assert source_for(netlink, index, 4, []) == own
    assert source_for(netlink, index, 4, [own]) == ip_address("169.254.7.7")
    assert source_for(netlink, index, 4, [own, ip_address("169.254.7.7")]) == ip_address("10.0.0.50")
    node.ip("addr", "flush", "dev", "net0", "permanent")
    assert source_for(netlink, index, 4, []) is None
    node.ip("addr", "add", "10.0.0.7/24", "dev", "net0", "valid_lft", "60", "preferred_lft", "60")
    assert source_for(netlink, index, 4, []) == ip_address("10.0.0.7")


def test_an_address_held_on_a_lease_is_no_source(node: Node, netlink: Netlink) -> None:
    node.ip("addr", "flush", "dev", "net0")
    Lease(netlink, node.index, [ip_interface("fd00::100/64"), ip_interface("fe80::100/64")], 60).renew()
    assert source_for(netlink, node.index, 6, []) is None


def test_more_refusals_than_the_buffer_holds(netlink: Netlink) -> None:
    netlink._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the kernel makes it its minimum
    lease = Lease(netlink, 9999, [ip_interface(f"10.3.0.{n}/32") for n in range(200)], 60)
    with pytest.raises(NetlinkError) as raised:
        lease.renew()
    assert raised.value.errno == errno.ENODEV


def test_the_ipv6_source_is_link_local_first_and_never_tentative(node: Node, netlink: Netlink) -> None:
    node.ip("addr", "flush", "dev", "net0", "scope", "link")
    assert source_for(netlink, node.index, 6, []) == ip_address("fd00::1")
    node.ip("addr", "add", "fe80::7/64", "dev", "net0", "nodad")
    assert source_for(netlink, node.index, 6, []) == ip_address("fe80::7")
    node.ip("addr", "del", "fe80::7/64", "dev", "net0")
    node.sysctl("ipv6/conf/net0/accept_dad", "1")
    node.sysctl("ipv6/conf/all/accept_dad", "1")
    node.sysctl("ipv6/conf/net0/dad_transmits", "200")
    node.ip("addr", "add", "fe80::8/64", "dev", "net0")
    assert source_for(netlink, node.index, 6, []) == ip_address("fd00::1")
