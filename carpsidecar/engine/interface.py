"""One network interface as the groups on it see it: its link, its sockets, what is received and sent.

The interface may be away, come back with another index, go down and up: sockets live and die with its link, and the
groups are told whether they can take part.
"""

import asyncio
import errno
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from logging import INFO, WARNING
from typing import Protocol

from msgspec.structs import replace

from carpsidecar.config.group import Destination, Family, GroupConfig
from carpsidecar.engine.claims import ClaimListener
from carpsidecar.engine.throttle import Throttle
from carpsidecar.ipc.messages import Notice
from carpsidecar.linux.announce import Announcer
from carpsidecar.linux.carp_socket import CarpSocket, StrangerSocket
from carpsidecar.linux.netlink import HeldAddress, Link, Netlink
from carpsidecar.logs import log
from carpsidecar.protocol.auth import Authenticator
from carpsidecar.protocol.hardened_packet import KINDS, HardenedPacket
from carpsidecar.protocol.packet import Advertisement, Drop, IPAddress
from carpsidecar.protocol.receiver import Receiver, vhid_of
from carpsidecar.protocol.timetable import REFRESH_GAP_MIN_S

_RECEIVE_LIMIT = 64
_SAMPLE_LIMIT = 256
_HELD_SENDERS_INTERVALS = 1.5
_DROP_LOG_EVERY_S = 60.0
_DROP_LOG_BURST = 20

_WHAT_TO_CHECK = {
    Drop.OWN: "it carries our own address: does another machine use it, or does the switch send packets back?",
    Drop.TTL: "its TTL is not 255: did a router pass it on?",
    Drop.VERSION: "its version differs: is auth the same, carp or hardened, on all nodes?",
    Drop.AUTHLEN: "its authentication length is not 7: what sends it?",
    Drop.VHID: "passphrase and addresses are those of a group of ours: is vhid the same on all nodes?",
    Drop.LENGTH: "it is not as long as CARP is: what sends it?",
    Drop.CHECKSUM: "it is damaged: does the network card or driver spoil packets?",
    Drop.DIGEST: "do passphrase and addresses agree?",
    Drop.REPLAY: "it was heard before: who plays recordings?",
    Drop.LATE: "it is some seconds old: did its sender stand still, or does somebody play recordings?",
}

_STRANGERS_LIMIT = 64
_STRANGERS_GAP_S = 0.005
"""So many are read in one go before a takeover, and no more often than that, however many groups take over."""

_VHID_CHECKS_PER_S = 1000
"""10 ms: each packet of another vhid that comes from a member is tried with each group of that member."""

_OF_KNOWN_VHID = (Drop.DIGEST, Drop.SESSION, Drop.LATE, Drop.REPLAY)
"""The vhid was looked up before."""


def _is_alone(held: HeldAddress) -> bool:
    return held.interface.network.prefixlen == held.interface.max_prefixlen


def _ageless(held: HeldAddress) -> HeldAddress:
    return replace(held, valid_s=None)


class Listener(Protocol):
    """Whoever receives what is for one vhid: a group."""

    @property
    def config(self) -> GroupConfig: ...
    @property
    def authenticator(self) -> Authenticator: ...
    @property
    def members(self) -> Collection[IPAddress]: ...
    @property
    def sources(self) -> Collection[IPAddress]: ...
    @property
    def ips(self) -> Collection[IPAddress]: ...
    @property
    def is_master(self) -> bool: ...

    def heard(self, now: float, packet: Advertisement | HardenedPacket, source: IPAddress) -> None: ...
    def answer_members(self) -> None: ...
    def heard_unauthentic(self, advbase: int, advskew: int, source: IPAddress) -> None: ...
    def disagreed(self, source: IPAddress) -> None: ...
    def claimed(self, address: IPAddress, mac: bytes, solicited: bool) -> None: ...
    def wanted(self, rank: bytes) -> None: ...
    def master_answered(self, master: IPAddress) -> None: ...
    def share_refreshes(self, gap_min_s: float) -> None: ...
    def flooded(self, now: float) -> None: ...


class Interface:
    """Sockets and what is received on them, shared by all groups of one interface."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, name: str, notice: Callable[[Notice], None], executor: Executor
    ) -> None:
        self.name = name
        self.link: Link | None = None
        self.groups: dict[int, Listener] = {}
        self.receiver = Receiver()
        self.unread = 0
        """Packets of protocol 112 that were not CARP, while there was no sample to tell what they were."""
        self.overrun = 0
        """Packets of protocol 112 that came faster than advertisements can be read: real ones may be among them."""
        self.claims = ClaimListener(loop, self.groups)
        self._loop = loop
        self._notice = notice
        self._executor = executor
        self._own: set[IPAddress] = set()
        self._sockets: dict[int, CarpSocket] = {}
        self._strangers: dict[int, StrangerSocket] = {}
        self._taken: dict[int, int] = {}
        self._announcer: Announcer | None = None
        self._vhid_checks_left = _VHID_CHECKS_PER_S
        self._missed_at = self._strangers_read_at = float("-inf")
        self._beside: list[HeldAddress] | None = None
        self._throttles: dict[tuple[Drop, bool], Throttle] = {}
        """One a reason, and one for each reason's packets of known members: none silences another."""
        self._vrrp_speakers: set[IPAddress] = set()

    @property
    def up(self) -> bool:
        return self.link is not None and self.link.up

    def add(self, group: Listener) -> None:
        """Raises: OSError where a socket that the group needs can't be opened."""
        self.receiver.add(group.config.vhid, group.authenticator)
        self.groups[group.config.vhid] = group
        self._share_refreshes()
        if self.link is not None:
            self._open(self.link, [group])
        self.claims.watch_soon()
        for family, sock in self._sockets.items():
            sock.narrow_to(None)
            self._strangers[family].narrow_to(None)

    def remove(self, group: Listener) -> None:
        self.receiver.remove(group.config.vhid)
        del self.groups[group.config.vhid]
        self._share_refreshes()
        self.claims.watch_soon()

    def _share_refreshes(self) -> None:
        """All groups of an interface together refresh no more often than one alone would."""
        for group in self.groups.values():
            group.share_refreshes(len(self.groups) * REFRESH_GAP_MIN_S)

    def open_missing(self) -> None:
        """Open what a group needs since its destination changed.

        Raises:
            OSError: a socket can't be opened.
        """
        if self.link is not None:
            self._open(self.link, self.groups.values())

    def set_link(self, link: Link | None) -> bool:
        """The kernel says that the link is so now; None: it is gone, or has another name.

        Returns:
            Whether it is reached in another way than before, so that masters have to announce.

        Raises:
            OSError: a socket can't be opened.
        """
        before = self.link
        moved = before is not None and (link is None or link.index != before.index or link.mac != before.mac)
        if moved:
            self.close()
        self.link = link
        self.addresses_changed()
        if link is not None:
            self._open(link, self.groups.values())
            if link.up and not (before and before.up):
                self._rejoin()
        return moved

    def addresses_changed(self) -> None:
        """Other addresses than ours came to it or went."""
        self._beside = None

    def addresses_beside(self, netlink: Netlink) -> Collection[HeldAddress]:
        """What the kernel held there when other addresses than ours came or went last."""
        if self._beside is None:
            held = netlink.addresses(self.link.index) if self.link is not None else []
            # Hundreds of ours without a prefix matter to nobody.
            self._beside = [one for one in held if not (one.leased and _is_alone(one))]
        return self._beside

    def refreshed(self, netlink: Netlink) -> bool:
        """Whether what is there beside ours is the same as before, but for its lifetime."""
        before, self._beside = self._beside, None
        after = self.addresses_beside(netlink)
        return before is not None and [*map(_ageless, before)] == [*map(_ageless, after)]

    def close(self) -> None:
        self.claims.close()
        for sock in self._sockets.values():
            self._loop.remove_reader(sock.fileno())
            sock.close()
        for other in (*self._strangers.values(), self._announcer):
            if other is not None:
                other.close()
        self._sockets.clear()
        self._strangers.clear()
        self._taken.clear()
        self._announcer = None

    def send(self, payload: bytes, source: IPAddress, destination: Destination) -> None:
        """Raises: OSError where not one of the destinations of the source's family could be sent to."""
        sock = self._sockets.get(source.version)
        if sock is None:
            raise OSError(errno.ENODEV, f"interface {self.name} is not there")
        if destination.broadcast:
            sock.send_broadcast(payload, source, destination.multicast[0])  # type: ignore[arg-type]
            return
        # One list of peers serves all nodes: our own address in it is left out.
        targets = [
            ip
            for ip in destination.peers or destination.multicast
            if ip.version == source.version and ip not in self._own
        ]
        failure: OSError | None = None
        sent = False
        for target in targets:
            try:
                sock.send(payload, source, target)
            except OSError as error:
                failure = error
            else:
                sent = True
        if failure is not None and not sent:
            raise failure

    def announce(self, addresses: list[IPAddress]) -> None:
        """Raises: OSError."""
        if self._announcer is not None:
            self._announcer.announce(addresses)

    def answer(self, addresses: Sequence[IPAddress]) -> Sequence[IPAddress]:
        """Announce because of what another machine sent; returns what has to wait.

        Raises:
            OSError: something could not be sent.
        """
        return [] if self._announcer is None else self._announcer.answer(addresses, self._loop.time())

    def sources_changed(self) -> None:
        """A group sends from another address now."""
        self._own = {ip for group in self.groups.values() for ip in group.sources}

    def sample_strangers(self) -> None:
        """Count what was protocol 112 but not CARP since the last time; once a second is enough.

        The kernel counts them all, but only together: how many were what is estimated from those that it kept.
        """
        self._vhid_checks_left = _VHID_CHECKS_PER_S
        members = {ip for group in self.groups.values() for ip in group.members}
        held = {ip for group in self.groups.values() if group.is_master for ip in group.ips}
        for family, sock in self._strangers.items():
            carp = self._sockets[family]
            with suppress(OSError):
                carp.prefer([ip for ip in members if ip.version == family])
                carp.narrow_to(self.groups.keys())
                sock.narrow_to(self.groups.keys())
                carp.hear_from(held, self._loop.time(), _HELD_SENDERS_INTERVALS * self._longest_interval_s)
                overrun = carp.unread()
                self.overrun += overrun
                if overrun:
                    for group in self.groups.values():
                        group.flooded(self._loop.time())
                before, self._taken[family] = self._taken.get(family, 0), carp.taken
                packets, unread = sock.sample(_SAMPLE_LIMIT)
                judged = self.receiver.drops.copy()
                for payload, ttl, source in packets:
                    self._judge(payload, ttl, source)
                # In a flood the kernel counted as unread the advertisements, too.
                strangers = max(0, unread - overrun - (carp.taken - before))
                self._share_out(strangers, self.receiver.drops - judged)
        self.claims.count_unread()

    def read_strangers(self) -> None:
        """Hand over what has arrived by now of other vhids: a takeover is about to be decided."""
        now = self._loop.time()
        if now - self._strangers_read_at < _STRANGERS_GAP_S:
            return
        self._strangers_read_at = now
        for sock in self._strangers.values():
            with suppress(OSError):
                for payload, ttl, source in sock.receive(_STRANGERS_LIMIT):
                    self._judge(payload, ttl, source)

    @property
    def _longest_interval_s(self) -> float:
        return max((group.config.settings.advbase + 1.0 for group in self.groups.values()), default=1.0)

    def missed_since(self, at: float) -> bool:
        """Whether an advertisement of a member may have found no room since then."""
        missed = [sock.missed() for sock in self._sockets.values()]
        if any(missed):
            self._missed_at = self._loop.time()
        return self._missed_at > at

    def _share_out(self, unread: int, sample: Counter[Drop]) -> None:
        """Count packets that nobody looked at as if they were composed like the sample."""
        left, of = unread, sample.total()
        for drop, count in sample.items():
            share = left * count // of
            self.receiver.drops[drop] += share
            left, of = left - share, of - count
        self.unread += left

    def _open(self, link: Link, groups: Collection[Listener]) -> None:
        families: set[Family] = {family for group in groups for family in group.config.families}
        for family in families - self._sockets.keys():
            sock = CarpSocket(link.name, link.index, family, self._executor.submit)
            self._sockets[family] = sock
            self._loop.add_reader(sock.fileno(), self._readable, sock)
            self._strangers[family] = StrangerSocket(link.name, link.index, family)
        for group in groups:
            if not group.config.destination.peers:
                for ip in group.config.destination.multicast:
                    self._sockets[ip.version].join(ip)
        if link.mac and self._announcer is None:
            self._announcer = Announcer(link.index, link.mac, self.name)
            self.claims.open(link)

    def _rejoin(self) -> None:
        # Switches forget who listens while a port is down.
        for sock in self._sockets.values():
            with suppress(OSError):
                sock.rejoin()

    def read(self) -> None:
        """Hand over what has arrived by now."""
        for sock in list(self._sockets.values()):
            self._readable(sock)
        self.claims.read()

    def _readable(self, sock: CarpSocket) -> None:
        try:
            packets = sock.receive(_RECEIVE_LIMIT)
        except OSError:
            # ENETDOWN and its like are told once by a socket; netlink tells the same, and more.
            return
        for payload, ttl, source in packets:
            self._judge(payload, ttl, source)

    def _judge(self, payload: bytes, ttl: int, source: IPAddress) -> None:
        if source in self._own:
            self.receiver.drops[Drop.OWN] += 1
            self._explain(Drop.OWN, payload, source)
            return
        now = self._loop.time()
        result = self.receiver.receive(now, payload, ttl, source)
        hardened = payload[:1] and payload[0] in KINDS
        if not isinstance(result, Drop):
            self.groups[result.vhid].heard(now, result, source)
        elif result is Drop.VHID:
            fitting = self._groups_but_for_the_vhid(payload, source)
            for group in fitting:
                group.disagreed(source)
            if not fitting:
                return
        elif result is Drop.VERSION and vhid_of(payload) in self.groups:
            self.groups[vhid_of(payload)].disagreed(source)
        elif result in _OF_KNOWN_VHID:
            group = self.groups[vhid_of(payload)]
            if result is Drop.DIGEST:
                advbase, advskew = (payload[4], payload[5]) if hardened else (payload[5], payload[2])
                group.heard_unauthentic(advbase, advskew, source)
            elif hardened:
                group.answer_members()
        if isinstance(result, Drop):
            self._explain(result, payload, source)

    def _groups_but_for_the_vhid(self, payload: bytes, source: IPAddress) -> list[Listener]:
        """Those that a member of theirs, which has another vhid by now, means with this packet."""
        suspects = [group for group in self.groups.values() if source in group.members]
        suspects = suspects[: self._vhid_checks_left]
        self._vhid_checks_left -= len(suspects)
        return [group for group in suspects if group.authenticator.differs_in_vhid_only(payload, source)]

    def _explain(self, drop: Drop, payload: bytes, source: IPAddress) -> None:
        if drop is Drop.VRRP:
            self._vrrp_heard(payload, source)
            return
        if drop not in _WHAT_TO_CHECK:
            return
        group = self.groups.get(vhid_of(payload))
        known = group is not None and source in group.members
        throttle = self._throttles.setdefault((drop, known), Throttle(_DROP_LOG_EVERY_S, _DROP_LOG_BURST))
        held_back = throttle.allow(self._loop.time(), source)
        if held_back is None:
            return
        number = vhid_of(payload)
        vhid = f", vhid {number}" if number else ""
        more = f" ({held_back} more like it since)" if held_back else ""
        text = f"bad {drop} from {source} on {self.name}{vhid}: {_WHAT_TO_CHECK[drop]}{more}"
        log(WARNING, "packet_dropped", text, reason=str(drop), source=str(source), interface=self.name)
        if drop is Drop.DIGEST:
            name = self.groups[number].config.name
            self._notice(Notice(kind="bad_digest", group=name, interface=self.name, peer=str(source), text=text))

    def _vrrp_heard(self, payload: bytes, source: IPAddress) -> None:
        if source in self._vrrp_speakers or len(self._vrrp_speakers) >= _SAMPLE_LIMIT:
            return
        self._vrrp_speakers.add(source)
        same = payload[1] in self.groups
        advice = (
            "it has the number of a group of ours, and a VRRP master falls silent at times when it hears its own"
            " number from CARP: give one of the two another"
            if same
            else "it shares CARP's protocol number, and is ignored"
        )
        log(
            WARNING if same else INFO,
            "vrrp_heard",
            f"{source} on {self.name} speaks VRRP {payload[0] >> 4}, virtual router {payload[1]}: {advice}",
            source=str(source),
            interface=self.name,
        )
