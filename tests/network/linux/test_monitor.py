"""News of links and addresses, as a real kernel sends them."""

import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_interface

import pytest

from carpsidecar.linux.lease import Lease
from carpsidecar.linux.monitor import (
    AddressAdded,
    AddressRemoved,
    Event,
    LinkChanged,
    LinkGone,
    Monitor,
    Overrun,
)
from carpsidecar.linux.netlink import Netlink
from tests.network.linux.helpers import Node, gather, lay_cable, readable, two_nodes

pytestmark = pytest.mark.network


@pytest.fixture
def nodes() -> Iterator[tuple[Node, Node]]:
    with two_nodes() as pair:
        yield pair


@pytest.fixture
def monitor(nodes: tuple[Node, Node]) -> Iterator[Monitor]:
    with nodes[0].inside():
        monitor = Monitor()
    yield monitor
    monitor.close()


def wait(monitor: Monitor, wanted: Callable[[Event], bool]) -> list[Event]:
    return gather(monitor, monitor.read, lambda got: any(wanted(event) for event in got))


def link_is(name: str, up: bool) -> Callable[[Event], bool]:
    return lambda e: isinstance(e, LinkChanged) and e.link.name == name and e.link.up == up


def equal_to(wanted: Event) -> Callable[[Event], bool]:
    return lambda e: e == wanted


def test_down_and_up(nodes: tuple[Node, Node], monitor: Monitor) -> None:
    nodes[0].ip("link", "set", "net0", "down")
    wait(monitor, link_is("net0", up=False))
    nodes[0].ip("link", "set", "net0", "up")
    wait(monitor, link_is("net0", up=True))


def test_carrier_lost_at_the_other_end_and_back(nodes: tuple[Node, Node], monitor: Monitor) -> None:
    nodes[1].ip("link", "set", "net0", "down")
    wait(monitor, link_is("net0", up=False))
    nodes[1].ip("link", "set", "net0", "up")
    (event,) = [e for e in wait(monitor, link_is("net0", up=True)) if link_is("net0", up=True)(e)][-1:]
    assert isinstance(event, LinkChanged)
    assert event.link.mac == nodes[0].mac
    assert event.link.index == nodes[0].index
    assert not event.link.loopback


def test_deleted_and_created_again(nodes: tuple[Node, Node], monitor: Monitor) -> None:
    index = nodes[0].index
    nodes[0].ip("link", "del", "net0")
    wait(monitor, lambda e: e == LinkGone(index, "net0"))
    lay_cable(*nodes)
    events = wait(monitor, link_is("net0", up=True))
    assert {e.link.index for e in events if isinstance(e, LinkChanged)} == {nodes[0].index}


def test_renamed(nodes: tuple[Node, Node], monitor: Monitor) -> None:
    index = nodes[0].index
    nodes[0].ip("link", "set", "net0", "down")
    nodes[0].ip("link", "set", "net0", "name", "lan7")
    events = wait(monitor, link_is("lan7", up=False))
    assert {e.link.index for e in events if isinstance(e, LinkChanged)} == {index}
    assert not [e for e in events if isinstance(e, LinkGone)]


def test_an_alternative_name_is_a_name(nodes: tuple[Node, Node], monitor: Monitor) -> None:
    nodes[0].ip("link", "property", "add", "dev", "net0", "altname", "enp3s0f0")
    (event, *_) = wait(monitor, lambda e: isinstance(e, LinkChanged) and e.link.is_called("enp3s0f0"))
    assert isinstance(event, LinkChanged)
    assert (event.link.name, event.link.altnames) == ("net0", ("enp3s0f0",))
    with nodes[0].inside():
        netlink = Netlink()
    assert [link.name for link in netlink.links() if link.is_called("enp3s0f0")] == ["net0"]
    netlink.close()
    nodes[0].ip("link", "property", "del", "dev", "net0", "altname", "enp3s0f0")
    wait(monitor, lambda e: isinstance(e, LinkChanged) and e.link.name == "net0" and not e.link.altnames)


def test_a_port_knows_its_bridge(nodes: tuple[Node, Node], monitor: Monitor) -> None:
    node = nodes[0]
    node.ip("link", "add", "br0", "type", "bridge")
    with node.inside():
        bridge = socket.if_nametoindex("br0")
    node.ip("link", "set", "net0", "master", "br0")
    wait(monitor, lambda e: isinstance(e, LinkChanged) and e.link.name == "net0" and e.link.master == bridge)
    node.ip("link", "set", "net0", "nomaster")
    wait(monitor, lambda e: isinstance(e, LinkChanged) and e.link.name == "net0" and e.link.master is None)


def test_addresses_come_and_go(nodes: tuple[Node, Node], monitor: Monitor) -> None:
    index = nodes[0].index
    for text in ("10.0.0.50/24", "fd00::50/64"):
        ip, prefix = ip_interface(text).ip, ip_interface(text).network.prefixlen
        nodes[0].ip("addr", "add", text, "dev", "net0")
        wait(monitor, equal_to(AddressAdded(index, ip, prefix, True)))
        nodes[0].ip("addr", "change", text, "dev", "net0", "valid_lft", "90", "preferred_lft", "60")
        wait(monitor, equal_to(AddressAdded(index, ip, prefix, False)))
        nodes[0].ip("addr", "del", text, "dev", "net0")
        wait(monitor, equal_to(AddressRemoved(index, ip, prefix, False)))


def test_a_lease_that_is_made_permanent_is_news(nodes: tuple[Node, Node], monitor: Monitor) -> None:
    node = nodes[0]
    node.ip("addr", "add", "10.0.0.60/32", "dev", "net0", "preferred_lft", "0")
    wait(monitor, lambda e: e == AddressAdded(node.index, ip_address("10.0.0.60"), 32, True))


def test_renewals_wake_nobody_but_removal_does(nodes: tuple[Node, Node], monitor: Monitor) -> None:
    addresses = [ip_interface("10.0.0.100/32"), ip_interface("fd00::100/128")]
    with nodes[0].inside():
        netlink = Netlink()
    lease = Lease(netlink, nodes[0].index, addresses, 30)
    # The link-local address of the cable's other end may still be on its way: let this be the last news.
    nodes[0].ip("addr", "add", "10.0.0.70/32", "dev", "net0")
    wait(monitor, lambda e: isinstance(e, AddressAdded) and str(e.address) == "10.0.0.70")
    for _ in range(5):
        lease.renew()
    assert not readable(monitor, 0)
    lease.release()
    removed = {e.address for e in monitor.read() if isinstance(e, AddressRemoved)}
    assert removed == {address.ip for address in addresses}
    netlink.close()


def test_a_port_that_leaves_a_bridge_is_no_link_gone(nodes: tuple[Node, Node], monitor: Monitor) -> None:
    node = nodes[0]
    node.ip("link", "add", "br0", "type", "bridge")
    node.ip("link", "set", "net0", "master", "br0")
    node.ip("link", "set", "net0", "nomaster")
    node.ip("link", "set", "br0", "down")
    node.ip("link", "add", "last", "type", "bridge")
    events = wait(monitor, link_is("last", up=False))
    assert not [e for e in events if isinstance(e, LinkGone)]
    node.ip("link", "del", "br0")
    wait(monitor, lambda e: isinstance(e, LinkGone) and e.name == "br0")


def test_read_is_bounded(nodes: tuple[Node, Node], monitor: Monitor) -> None:
    for number in range(10):
        nodes[0].ip("addr", "add", f"10.0.1.{number}/32", "dev", "net0")
    assert len(monitor.read(limit=3)) <= 3
    assert readable(monitor, 0)
    assert monitor.read(limit=0) == []


def test_an_overrun_is_said_and_news_go_on(nodes: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("carpsidecar.linux.monitor._BUFFER_BYTES", 1)  # the kernel makes it its minimum
    with nodes[0].inside():
        monitor = Monitor()
    for number in range(30):
        nodes[0].ip("addr", "add", f"10.0.2.{number}/32", "dev", "net0")
    assert Overrun() in monitor.read()
    nodes[0].ip("addr", "add", "10.0.2.99/32", "dev", "net0")
    wait(monitor, lambda e: isinstance(e, AddressAdded) and str(e.address) == "10.0.2.99")
    monitor.close()
