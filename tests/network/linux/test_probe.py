"""Who has an address, asked of a real kernel: it answers whatever it is set to, and learns nothing wrong."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_interface

import pytest

from carpsidecar.linux.claims import Claim, ClaimWatch
from carpsidecar.linux.lease import Lease
from carpsidecar.linux.netlink import IPAddress, Netlink
from carpsidecar.linux.probe import Prober
from tests.network.linux.helpers import Node, gather, readable, two_nodes, wire_tap

pytestmark = pytest.mark.network

VIP, VIP6 = IPv4Address("10.0.0.100"), IPv6Address("fd00::100")
LINK_LOCAL = IPv6Address("fe80::ff:fe00:1")


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[Node, Node]]:
    with two_nodes() as pair:
        pair[0].ip("addr", "flush", "dev", "net0", "scope", "link")
        pair[0].ip("addr", "add", f"{LINK_LOCAL}/64", "dev", "net0", "nodad")
        yield pair


@contextmanager
def asking(node: Node, *addresses: IPAddress) -> Iterator[tuple[Prober, ClaimWatch]]:
    with node.inside():
        prober, watch = Prober("net0", node.mac), ClaimWatch(node.index, node.mac)
        watch.watch(addresses)
    yield prober, watch
    prober.close()
    watch.close()


@pytest.fixture
def holder(nodes: tuple[Node, Node]) -> Iterator[Node]:
    with nodes[1].inside():
        netlink = Netlink()
    lease = Lease(netlink, nodes[1].index, [ip_interface(f"{VIP}/32"), ip_interface(f"{VIP6}/128")], 60)
    lease.renew()
    with asking(nodes[0], VIP6) as (prober, watch):
        # The kernel joins the group that a solicitation goes to a moment later.
        prober.ask([VIP6], LINK_LOCAL)
        while not readable(watch, 0.1):
            prober.ask([VIP6], LINK_LOCAL)
    yield nodes[1]
    lease.release()
    netlink.close()


@pytest.mark.parametrize("arp_ignore", [0, 1, 2, 3])
@pytest.mark.parametrize("strict", [False, True])
def test_the_holder_answers(nodes: tuple[Node, Node], holder: Node, arp_ignore: int, strict: bool) -> None:
    settings = {"arp_ignore": arp_ignore, "arp_filter": int(strict), "rp_filter": int(strict), "arp_announce": 2}
    for setting, value in settings.items():
        holder.sysctl(f"ipv4/conf/net0/{setting}", str(value))
    try:
        with asking(nodes[0], VIP, VIP6) as (prober, watch):
            prober.ask([VIP, VIP6], LINK_LOCAL)
            claims = gather(watch, lambda: watch.receive(10), lambda got: len(got) == 2)
        assert set(claims) == {Claim(ip, holder.mac, solicited=True) for ip in (VIP, VIP6)}
    finally:
        for setting in settings:
            holder.sysctl(f"ipv4/conf/net0/{setting}", "0")


def test_nobody_answers_for_what_nobody_has(nodes: tuple[Node, Node]) -> None:
    with asking(nodes[0], VIP, VIP6) as (prober, watch):
        prober.ask([VIP, VIP6], LINK_LOCAL)
        assert not readable(watch, 0.1)


def test_nobody_learns_anything_wrong(nodes: tuple[Node, Node], holder: Node) -> None:
    tap = wire_tap(nodes[0], 0x86DD)
    with asking(nodes[0], VIP, VIP6) as (prober, watch):
        prober.ask([VIP, VIP6], LINK_LOCAL)
        gather(watch, lambda: watch.receive(10), lambda got: len(got) == 2)
    answers = [frame for frame in tap_all(tap) if frame[54:55] == b"\x88"]
    assert [frame[:6] for frame in answers] == [nodes[0].mac]  # to us alone, not to all nodes
    tap.close()
    neighbours = holder.ip("neigh", "show", "dev", "net0")
    assert str(VIP) not in neighbours
    assert "0.0.0.0" not in neighbours
    assert f"{LINK_LOCAL} lladdr {nodes[0].mac.hex(':')}" in neighbours


def test_a_node_that_just_takes_an_address_keeps_it(nodes: tuple[Node, Node]) -> None:
    """It looks for duplicates, and a solicitation from the unspecified address would be one."""
    other = nodes[1]
    for setting, value in (("all/accept_dad", "1"), ("net0/accept_dad", "1"), ("net0/dad_transmits", "3")):
        other.sysctl(f"ipv6/conf/{setting}", value)
    other.ip("addr", "add", "fd00::200/64", "dev", "net0")
    try:
        assert "tentative" in other.ip("addr", "show", "dev", "net0", "to", "fd00::200")
        with asking(nodes[0], IPv6Address("fd00::200")) as (prober, watch):
            prober.ask([IPv6Address("fd00::200")], LINK_LOCAL)
            assert not readable(watch, 0.1)
        assert "dadfailed" not in other.ip("addr", "show", "dev", "net0", "to", "fd00::200")
    finally:
        other.ip("addr", "del", "fd00::200/64", "dev", "net0")
        for setting in ("all/accept_dad", "net0/accept_dad"):
            other.sysctl(f"ipv6/conf/{setting}", "0")


def test_a_thousand_at_once(nodes: tuple[Node, Node]) -> None:
    every: list[IPAddress] = [IPv4Address(int(IPv4Address("10.7.0.0")) + n) for n in range(500)]
    every += [IPv6Address(int(IPv6Address("fd07::")) + 1 + n) for n in range(500)]
    with nodes[1].inside():
        netlink = Netlink()
    lease = Lease(netlink, nodes[1].index, [ip_interface(str(address)) for address in every], 60)
    lease.renew()
    with asking(nodes[0], *every) as (prober, watch):
        answered: set[IPAddress] = set()
        while len(answered) < 1000:
            prober.ask([address for address in every if address not in answered], LINK_LOCAL)
            assert readable(watch)
            answered |= {claim.address for claim in watch.receive(1000)}
    lease.release()
    netlink.close()


def tap_all(tap: socket.socket) -> list[bytes]:
    frames = []
    while readable(tap, 0):
        frames.append(tap.recv(2048))
    return frames
