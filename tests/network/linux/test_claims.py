"""Foreign machines that claim our addresses, and frames that look like it but are none."""

import asyncio
import errno
import socket
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address

import pytest

from carpsidecar.engine import claims as engine_claims
from carpsidecar.engine.claims import ClaimListener
from carpsidecar.linux import claims as linux_claims
from carpsidecar.linux.claims import Claim, ClaimWatch
from carpsidecar.linux.frames import gratuitous_arp, neighbour_advertisement
from carpsidecar.linux.netlink import IPAddress, Netlink
from tests.network.linux.helpers import DEADLINE_S, Node, gather, inject, readable, two_nodes

pytestmark = pytest.mark.network

VIP, VIP6 = IPv4Address("10.0.0.100"), IPv6Address("fd00::100")
OTHER, OTHER6 = IPv4Address("10.0.0.101"), IPv6Address("fd00::101")
FOREIGN = bytes.fromhex("02bbbbbbbbbb")


def watching(node: Node, *addresses: IPAddress) -> ClaimWatch:
    with node.inside():
        watch = ClaimWatch(node.index, node.mac)
        watch.watch(addresses)
    return watch


def claims(watch: ClaimWatch, count: int) -> list[Claim]:
    return gather(watch, lambda: watch.receive(10), lambda got: len(got) >= count)


@pytest.mark.parametrize("operation", [0, 1])
def test_arp_claims(nodes: tuple[Node, Node], operation: int) -> None:
    watch = watching(nodes[0], VIP, VIP6)
    inject(nodes[1], gratuitous_arp(FOREIGN, VIP)[operation])
    assert claims(watch, 1) == [Claim(VIP, FOREIGN)]
    watch.close()


def test_neighbour_advertisement_claims(nodes: tuple[Node, Node]) -> None:
    watch = watching(nodes[0], VIP, VIP6)
    inject(nodes[1], neighbour_advertisement(FOREIGN, VIP6, router=False))
    assert claims(watch, 1) == [Claim(VIP6, FOREIGN)]
    watch.close()


def test_what_is_no_claim_wakes_nobody(nodes: tuple[Node, Node]) -> None:
    left, right = nodes
    watch = watching(left, VIP, VIP6)
    probe = bytearray(gratuitous_arp(FOREIGN, VIP)[0])
    probe[28:32] = bytes(4)
    asking = bytearray(gratuitous_arp(FOREIGN, OTHER)[0])
    asking[38:42] = VIP.packed
    solicitation = bytearray(neighbour_advertisement(FOREIGN, VIP6, router=False))
    solicitation[54] = 135
    for_others = bytearray(gratuitous_arp(FOREIGN, VIP)[0])
    for_others[:6] = bytes.fromhex("02cccccccccc")
    cut_short = gratuitous_arp(FOREIGN, VIP)[0][:30]
    for frame in (
        probe,
        asking,
        solicitation,
        for_others,
        cut_short,
        gratuitous_arp(FOREIGN, OTHER)[0],
        gratuitous_arp(left.mac, VIP)[0],
        neighbour_advertisement(FOREIGN, OTHER6, router=False),
        neighbour_advertisement(left.mac, VIP6, router=False),
    ):
        inject(right, bytes(frame))
    for frame in (*gratuitous_arp(FOREIGN, VIP), neighbour_advertisement(FOREIGN, VIP6, router=False)):
        inject(left, frame)  # this node's own sending, whatever MAC it bears
    assert not readable(watch, 0.2)
    inject(right, gratuitous_arp(FOREIGN, VIP)[0])
    assert claims(watch, 1) == [Claim(VIP, FOREIGN)]
    watch.close()


def test_mac_that_differs_only_at_the_end_is_foreign(nodes: tuple[Node, Node]) -> None:
    watch = watching(nodes[0], VIP, VIP6)
    for mac in (nodes[0].mac[:5] + b"\x09", b"\x0e" + nodes[0].mac[1:]):
        inject(nodes[1], gratuitous_arp(mac, VIP)[0])
        inject(nodes[1], neighbour_advertisement(mac, VIP6, router=True))
        assert set(claims(watch, 2)) == {Claim(VIP, mac), Claim(VIP6, mac)}
    watch.close()


@pytest.mark.parametrize(("count", "by_the_kernel"), [(17, True), (2500, True), (2501, False)])
def test_many_addresses(nodes: tuple[Node, Node], count: int, by_the_kernel: bool) -> None:
    """Up to 2,500 the kernel compares, beyond it we do: the answer is the same."""
    v4 = [IPv4Address(int(VIP) + n) for n in range(count)]
    v6 = [IPv6Address(int(VIP6) + n) for n in range(count)]
    watch = watching(nodes[0], *v4, *v6)
    inject(nodes[1], gratuitous_arp(FOREIGN, IPv4Address("10.0.0.50"))[0])
    inject(nodes[1], neighbour_advertisement(FOREIGN, IPv6Address("fd00::50"), router=False))
    assert readable(watch, 0.1 if by_the_kernel else DEADLINE_S) != by_the_kernel
    inject(nodes[1], gratuitous_arp(FOREIGN, v4[-1])[0])
    inject(nodes[1], neighbour_advertisement(FOREIGN, v6[-1], router=False))
    assert set(claims(watch, 2)) == {Claim(v4[-1], FOREIGN), Claim(v6[-1], FOREIGN)}
    watch.close()


def test_the_addresses_can_be_changed(nodes: tuple[Node, Node]) -> None:
    left, right = nodes
    watch = watching(left, VIP)
    inject(right, gratuitous_arp(FOREIGN, VIP)[0])
    assert readable(watch)
    with left.inside():
        watch.watch([VIP6])
    assert watch.receive(10) == []
    inject(right, neighbour_advertisement(FOREIGN, VIP6, router=False))
    assert claims(watch, 1) == [Claim(VIP6, FOREIGN)]
    with left.inside():
        watch.watch([OTHER])
    inject(right, gratuitous_arp(FOREIGN, OTHER)[0])
    assert claims(watch, 1) == [Claim(OTHER, FOREIGN)]
    with left.inside():
        watch.watch([VIP])
    inject(right, gratuitous_arp(FOREIGN, OTHER)[0])
    inject(right, gratuitous_arp(FOREIGN, VIP)[0])
    assert claims(watch, 1) == [Claim(VIP, FOREIGN)]
    with left.inside():
        watch.watch([])
    assert watch.receive(10) == []
    watch.close()


def test_a_real_machine_with_the_same_address_is_heard() -> None:
    with two_nodes() as (left, right):
        watch = watching(left, VIP)
        right.ip("addr", "add", "10.0.0.100/24", "dev", "net0")
        with right.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind(("10.0.0.100", 0))
            sender.sendto(b"x", ("10.0.0.1", 9))
        assert Claim(VIP, right.mac) in claims(watch, 1)
        watch.close()


def test_the_watch_outlives_a_link_that_goes_down_and_comes_back() -> None:
    with two_nodes() as (left, right):
        watch = watching(left, VIP)
        left.ip("link", "set", "net0", "down")
        assert watch.receive(10) == []
        assert not readable(watch, 0)
        left.ip("link", "set", "net0", "up")
        inject(right, gratuitous_arp(FOREIGN, VIP)[0])
        assert claims(watch, 1) == [Claim(VIP, FOREIGN)]
        left.ip("link", "del", "net0")
        assert watch.receive(10) == []
        watch.close()


def test_receive_is_bounded(nodes: tuple[Node, Node]) -> None:
    watch = watching(nodes[0], VIP)
    for _ in range(5):
        inject(nodes[1], gratuitous_arp(FOREIGN, VIP)[0])
    assert readable(watch)
    assert len(watch.receive(2)) <= 2
    watch.close()


def test_an_interface_without_ethernet_address_is_refused() -> None:
    with pytest.raises(OSError, match="has no Ethernet address"):
        ClaimWatch(7, b"")


class Master:
    """Holds an address, and stops the loop when that is claimed."""

    ips: Collection[IPAddress] = (VIP,)
    is_master = True

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.by: list[bytes] = []
        self._loop = loop

    def claimed(self, address: IPAddress, mac: bytes, solicited: bool) -> None:
        self.by.append(mac)
        self._loop.stop()

    def wanted(self, rank: bytes) -> None:
        self.by.append(rank)
        self._loop.stop()

    def master_answered(self, master: IPAddress) -> None: ...


def test_what_could_not_be_watched_is_tried_again(
    nodes: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = nodes
    with left.inside():
        watch = ClaimWatch(left.index, left.mac)
        with monkeypatch.context() as patch:
            patch.setattr(linux_claims, "attach", no_memory)
            with pytest.raises(OSError, match="no memory"):
                watch.watch([VIP])
        watch.watch([VIP])
    inject(right, gratuitous_arp(FOREIGN, VIP)[0])
    assert claims(watch, 1) == [Claim(VIP, FOREIGN)]
    watch.close()


def test_a_listener_that_could_not_be_opened_is_opened_whole_next_time(
    nodes: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = nodes
    loop = asyncio.new_event_loop()
    master = Master(loop)
    with left.inside():
        link = next(link for link in Netlink().links() if link.name == "net0")
        listener = ClaimListener(loop, {1: master})
        with monkeypatch.context() as patch:
            patch.setattr(engine_claims, "Prober", no_memory)
            with pytest.raises(OSError, match="no memory"):
                listener.open(link)
        listener.open(link)
    inject(right, gratuitous_arp(FOREIGN, VIP)[0])
    loop.call_later(DEADLINE_S, loop.stop)
    loop.run_forever()
    assert master.by == [FOREIGN]
    listener.close()
    loop.close()


def test_an_address_that_comes_while_others_are_asked_for_is_listened_for_too(nodes: tuple[Node, Node]) -> None:
    left, right = nodes
    loop = asyncio.new_event_loop()
    first, later = Master(loop), Master(loop)
    later.ips, later.is_master = [OTHER], False
    groups = {1: first}
    with left.inside():
        listener = ClaimListener(loop, groups)
        listener.open(next(link for link in Netlink().links() if link.name == "net0"))
        listener.ask([VIP], None, b"")
        groups[2] = later
        listener.watch_soon()
    loop.call_later(0.1, lambda: inject(right, gratuitous_arp(FOREIGN, OTHER)[0]))
    loop.call_later(DEADLINE_S, loop.stop)
    loop.run_forever()
    assert later.by == [FOREIGN]
    assert first.by == []
    listener.close()
    loop.close()


def no_memory(*_: object) -> None:
    raise OSError(errno.ENOBUFS, "no memory")
