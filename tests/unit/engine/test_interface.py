"""An interface's judging of packets: to which group they go, and what is logged of those that go to none."""

import socket
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

import pytest
from msgspec.structs import replace

from carpsidecar.engine import interface as module
from carpsidecar.engine.interface import Interface
from carpsidecar.engine.transmitter import authenticator_of
from carpsidecar.ipc.messages import Notice
from carpsidecar.linux.carp_socket import Received
from carpsidecar.linux.netlink import Link
from carpsidecar.protocol.auth import Claim
from carpsidecar.protocol.hardened_packet import HardenedPacket, Role
from carpsidecar.protocol.packet import Advertisement, Drop, IPAddress, header, pack
from carpsidecar.protocol.timetable import REFRESH_GAP_MIN_S
from tests.support.logs import Logged
from tests.unit.engine.loops import Loop, group_config

LINK = Link(index=7, name="eth7", up=True, mac=b"", loopback=False)
OURS, PEER = ip_address("192.0.2.1"), ip_address("192.0.2.2")


class FakeSocket:
    """In the place of a CarpSocket and its StrangerSocket: what is put into `packets` is received."""

    made: list["FakeSocket"]

    def __init__(self, name: str, index: int, family: int, run: object = None) -> None:
        self.packets: list[Received] = []
        self.dropped = 0
        self.overflows = False
        self.taken = 0
        self.joined: list[str] = []
        self.rejoined = 0
        self.preferred: set[IPAddress] = set()
        self.vhids: set[int] | None = None
        self.held: set[IPAddress] = set()
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self.made.append(self)

    def fileno(self) -> int:
        return self._ours.fileno()

    def arrive(self, *packets: Received) -> None:
        self.packets += packets
        self._theirs.send(b"x")

    def receive(self, limit: int) -> list[Received]:
        with suppress(BlockingIOError):
            self._ours.recv(100)
        taken, self.packets = self.packets[:limit], self.packets[limit:]
        return taken

    def sample(self, limit: int) -> tuple[list[Received], int]:
        taken, self.packets = self.packets, []
        return taken, self.unread()

    def unread(self) -> int:
        dropped, self.dropped = self.dropped, 0
        return dropped

    def prefer(self, members: Collection[IPAddress]) -> None:
        self.preferred = set(members)

    def narrow_to(self, vhids: Collection[int] | None) -> None:
        self.vhids = None if vhids is None else set(vhids)

    def hear_from(self, held: Collection[IPAddress], now: float, for_s: float) -> None:
        self.held = set(held)

    def missed(self) -> bool:
        missed, self.overflows = self.overflows, False
        return missed

    def join(self, group: IPAddress) -> None:
        self.joined.append(str(group))

    def rejoin(self) -> None:
        self.rejoined += 1

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


class FakeGroup:
    """What an interface needs of a group."""

    is_master = False

    def __init__(self) -> None:
        self.config = group_config()
        self.authenticator = authenticator_of(self.config, 0.0)
        self.sources: list[IPAddress] = [OURS]
        self.ips: list[IPAddress] = []
        self.members: list[IPAddress] = []
        self.floods = 0
        self.refresh_gap_min_s = 0.0
        self.taken: list[tuple[Advertisement, IPAddress]] = []
        self.doubtful: list[tuple[int, int, IPAddress]] = []
        self.disagreements: list[IPAddress] = []

    def heard(self, now: float, packet: Advertisement | HardenedPacket, source: IPAddress) -> None:
        assert isinstance(packet, Advertisement)
        self.taken.append((packet, source))

    def answer_members(self) -> None: ...

    def heard_unauthentic(self, advbase: int, advskew: int, source: IPAddress) -> None:
        self.doubtful.append((advbase, advskew, source))

    def disagreed(self, source: IPAddress) -> None:
        self.disagreements.append(source)

    def claimed(self, address: IPAddress, mac: bytes, solicited: bool) -> None: ...

    def wanted(self, rank: bytes) -> None: ...

    def master_answered(self, master: IPAddress) -> None: ...

    def flooded(self, now: float) -> None:
        self.floods += 1

    def share_refreshes(self, gap_min_s: float) -> None:
        self.refresh_gap_min_s = gap_min_s

    def packet(self, source: IPAddress = PEER, ttl: int = 255, byte: int = 1, to: int = 42) -> Received:
        """A valid advertisement, or one with a byte changed."""
        payload = bytearray(self.authenticator.advertisement(0.0, source, Claim(Role.MASTER, 1, 0, 0.0)))
        payload[byte] = to
        return Received(bytes(payload), ttl, source)


class InterfaceBench:
    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.group = FakeGroup()
        self.notices: list[Notice] = []
        executor = ThreadPoolExecutor(1)  # which starts no thread before it has something to do
        self.interface = Interface(loop.asyncio, "eth7", self.notices.append, executor)
        self.interface.add(self.group)
        self.interface.set_link(LINK)
        self.interface.sources_changed()
        self.socket, self.strangers = FakeSocket.made

    def arrive(self, *packets: Received) -> None:
        self.socket.arrive(*packets)
        self.loop.until(lambda: not self.socket.packets)


@pytest.fixture
def bench(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> Iterator[InterfaceBench]:
    FakeSocket.made = []
    monkeypatch.setattr(module, "CarpSocket", FakeSocket)
    monkeypatch.setattr(module, "StrangerSocket", FakeSocket)
    bench = InterfaceBench(loop)
    yield bench
    bench.interface.close()


def test_a_valid_advertisement_goes_to_its_group(bench: InterfaceBench, logged: Logged) -> None:
    bench.arrive(bench.group.packet(), bench.group.packet())
    assert [(a.vhid, a.advbase, source) for a, source in bench.group.taken] == [(42, 1, PEER)] * 2
    assert logged.lines == []
    assert not bench.interface.receiver.drops


def test_the_kernel_is_told_which_vhids_are_served_and_whom_to_prefer(bench: InterfaceBench) -> None:
    assert (bench.socket.vhids, bench.strangers.vhids) == (None, None)
    bench.group.members = [PEER, ip_address("fd00::2")]
    bench.interface.sample_strangers()
    assert (bench.socket.vhids, bench.strangers.vhids) == ({42}, {42})
    assert bench.socket.preferred == {PEER}


def test_a_flood_is_known_to_the_groups_and_for_how_long_something_may_have_been_missed(
    bench: InterfaceBench,
) -> None:
    begun = bench.loop.asyncio.time()
    assert not bench.interface.missed_since(0.0)
    bench.socket.overflows = True
    assert bench.interface.missed_since(begun)
    assert bench.interface.missed_since(begun), "for the next group that asks as well"
    assert not bench.interface.missed_since(bench.loop.asyncio.time() + 1)
    bench.interface.sample_strangers()
    assert bench.group.floods == 0
    bench.socket.dropped = 1
    bench.interface.sample_strangers()
    assert bench.group.floods == 1


def test_another_interface_of_the_name_opens_everything_anew_and_asks_to_announce(bench: InterfaceBench) -> None:
    assert not bench.interface.set_link(replace(LINK, altnames=("lan",)))
    assert bench.interface.set_link(replace(LINK, index=8))
    _former, _strangers, socket, strangers = FakeSocket.made
    bench.interface.sample_strangers()
    assert (set(socket.joined), socket.vhids, strangers.vhids) == (set(bench.socket.joined), {42}, {42})


@pytest.mark.parametrize(
    ("changed", "drop", "said_of_it"),
    [
        ({"byte": 20, "to": 1}, Drop.CHECKSUM, "it is damaged: does the network card or driver spoil packets?"),
        ({"ttl": 254}, Drop.TTL, "its TTL is not 255: did a router pass it on?"),
        ({"byte": 0, "to": 0x31}, Drop.VERSION, "is auth the same, carp or hardened, on all nodes?"),
        ({"byte": 1, "to": 43}, Drop.VHID, None),
    ],
)
def test_a_packet_that_fails_a_check_is_counted_and_explained_and_reaches_no_group(
    bench: InterfaceBench, logged: Logged, changed: dict[str, Any], drop: Drop, said_of_it: str | None
) -> None:
    bench.arrive(bench.group.packet(**changed))
    assert bench.group.taken == []
    assert bench.interface.receiver.drops == {drop: 1}
    if said_of_it is None:
        assert logged.lines == []
    else:
        assert logged.lines[0].startswith(f"bad {drop} from 192.0.2.2 on eth7, vhid 42: ")
        assert said_of_it in logged.lines[0]


def test_a_bad_digest_asks_for_passphrase_and_addresses(bench: InterfaceBench, logged: Logged) -> None:
    head = header(42, 0, 1)
    bench.arrive(Received(pack(head, bytes(8), bytes(20)), 255, PEER))
    assert logged.lines == ["bad digest from 192.0.2.2 on eth7, vhid 42: do passphrase and addresses agree?"]
    assert logged.records[0].__dict__["keys"] == {"reason": "digest", "source": "192.0.2.2", "interface": "eth7"}
    assert (bench.group.doubtful, bench.group.taken) == ([(1, 0, PEER)], [])


def of_another_vhid(source: IPAddress = PEER) -> Received:
    other = authenticator_of(replace(group_config(), vhid=43), 0.0)
    return Received(other.advertisement(0.0, source, Claim(Role.MASTER, 1, 0, 0.0)), 255, source)


def test_a_member_that_has_another_vhid_now_disagrees_and_is_named(bench: InterfaceBench, logged: Logged) -> None:
    bench.group.members = [PEER]
    bench.arrive(of_another_vhid(), of_another_vhid(ip_address("192.0.2.3")), bench.group.packet(to=43))
    assert bench.group.disagreements == [PEER]
    assert logged.lines == [
        "bad vhid from 192.0.2.2 on eth7, vhid 43: passphrase and addresses are those of a group of ours: "
        "is vhid the same on all nodes?"
    ]


def test_what_waits_of_other_vhids_is_read_before_a_takeover_and_not_all_the_time(
    bench: InterfaceBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.group.members = [PEER]
    monkeypatch.setattr(module, "_STRANGERS_GAP_S", 60.0)
    bench.strangers.arrive(*[of_another_vhid() for _ in range(100)])
    bench.interface.read_strangers()
    bench.interface.read_strangers()
    assert len(bench.group.disagreements) == 64
    monkeypatch.setattr(module, "_STRANGERS_GAP_S", 0.0)
    bench.interface.read_strangers()
    assert len(bench.group.disagreements) == 100


def test_how_many_of_other_vhids_are_tried_is_limited_until_the_next_second(bench: InterfaceBench) -> None:
    bench.group.members = [PEER]
    for _ in range(20):
        bench.arrive(*[of_another_vhid() for _ in range(60)])
    assert len(bench.group.disagreements) == 1000
    bench.interface.sample_strangers()
    bench.arrive(of_another_vhid())
    assert len(bench.group.disagreements) == 1001


def test_a_master_in_the_other_mode_disagrees(bench: InterfaceBench) -> None:
    bench.arrive(bench.group.packet(byte=0, to=0x31))
    assert bench.group.disagreements == [PEER]


def test_our_own_address_from_elsewhere_is_named(bench: InterfaceBench, logged: Logged) -> None:
    bench.arrive(bench.group.packet(source=OURS))
    assert bench.group.taken == []
    assert bench.interface.receiver.drops == {Drop.OWN: 1}
    assert "does another machine use it" in logged.lines[0]


def test_a_flood_is_counted_in_full_but_said_at_a_limited_rate(bench: InterfaceBench, logged: Logged) -> None:
    for n in range(100):
        strangers = [bench.group.packet(source=ip_address(f"10.0.{n}.{i}"), ttl=1) for i in range(60)]
        bench.arrive(*strangers)
    assert bench.interface.receiver.drops == {Drop.TTL: 6000}
    assert len(logged.lines) == 20


def test_the_same_mistake_of_one_sender_is_said_once(bench: InterfaceBench, logged: Logged) -> None:
    for _ in range(100):
        bench.arrive(bench.group.packet(ttl=1))
    assert len(logged.lines) == 1
    bench.arrive(bench.group.packet(byte=0, to=0x31))
    assert len(logged.lines) == 2


def test_who_speaks_vrrp_is_said_once_and_counted(bench: InterfaceBench, logged: Logged) -> None:
    vrrp = Received(bytes([0x21, 42, 100, 1, 0, 1]) + bytes(14), 255, PEER)
    bench.strangers.packets = [vrrp] * 3
    bench.interface.sample_strangers()
    assert bench.interface.receiver.drops == {Drop.VRRP: 3}
    assert len(logged.lines) == 1
    assert logged.lines[0].startswith("192.0.2.2 on eth7 speaks VRRP 2, virtual router 42")


def test_strangers_too_many_to_be_judged_are_counted_by_what_a_sample_of_them_was(
    bench: InterfaceBench, logged: Logged
) -> None:
    vrrp = Received(bytes([0x21, 42, 100, 1, 0, 1]) + bytes(14), 255, PEER)
    bench.strangers.packets = [Received(b"\x21", 255, PEER), Received(b"", 255, PEER), vrrp]
    bench.strangers.dropped, bench.socket.dropped = 1007, 7
    bench.interface.sample_strangers()
    # The kernel asks the filter only afterwards, so that each socket's count has the other's packets in it.
    assert bench.interface.receiver.drops == {Drop.LENGTH: 2 + 666, Drop.VRRP: 1 + 334}
    assert (bench.interface.unread, bench.interface.overrun) == (0, 7)
    assert "it is not as long as CARP is" in logged.lines[0]


def test_strangers_of_whom_there_is_no_sample_are_counted_all_the_same(bench: InterfaceBench) -> None:
    bench.strangers.dropped = 1000
    bench.interface.sample_strangers()
    assert not bench.interface.receiver.drops
    assert bench.interface.unread == 1000


def test_a_group_that_was_removed_hears_nothing_more(bench: InterfaceBench) -> None:
    bench.interface.remove(bench.group)
    bench.arrive(bench.group.packet())
    assert bench.group.taken == []
    assert bench.interface.receiver.drops == {Drop.VHID: 1}


def test_sockets_live_as_long_as_the_link_and_are_made_anew_with_it(bench: InterfaceBench) -> None:
    assert bench.socket.joined == ["224.0.0.18"]
    bench.interface.set_link(replace(LINK, up=False))
    bench.interface.set_link(LINK)
    assert bench.socket.rejoined == 2
    bench.interface.set_link(None)
    assert bench.socket.fileno() == -1
    assert not bench.interface.up
    with pytest.raises(OSError, match="eth7 is not there"):
        bench.interface.send(b"", OURS, bench.group.config.destination)
    bench.interface.set_link(LINK)
    again = FakeSocket.made[2]
    assert again.joined == ["224.0.0.18"]
    again.arrive(bench.group.packet())
    bench.loop.until(lambda: bool(bench.group.taken))


def test_groups_that_share_an_interface_share_the_refreshes(bench: InterfaceBench) -> None:
    other = FakeGroup()
    other.config = replace(other.config, vhid=43)
    bench.interface.add(other)
    assert bench.group.refresh_gap_min_s == other.refresh_gap_min_s == 2 * REFRESH_GAP_MIN_S
    bench.interface.remove(other)
    assert bench.group.refresh_gap_min_s == REFRESH_GAP_MIN_S
