"""Listening on one interface for a while: who speaks, what of it gets through to programs, who has which address.

What the card hears (`Sniffer`) is compared with what a program like the daemon receives (`CarpSocket`): what is
missing there, a firewall or the reverse path filter took away.
"""

import math
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import Protocol

from msgspec import Struct, field

from carpsidecar.capture.decode import Packet, Vrrp, decode
from carpsidecar.capture.live import frame_of
from carpsidecar.config.group import Family
from carpsidecar.linux.carp_socket import CarpSocket
from carpsidecar.linux.claims import ClaimWatch
from carpsidecar.linux.netlink import IPAddress, Link
from carpsidecar.linux.probe import Prober
from carpsidecar.linux.sniffer import Sniffer
from carpsidecar.protocol.hardened_packet import HardenedPacket, Kind
from carpsidecar.protocol.packet import Advertisement

SENDERS_MAX = 1024
_DELIVERED_MAX = 16 * SENDERS_MAX
_PROBES = 3
_PROBE_EVERY_S = 0.4
_READ_LIMIT = 256


class HasFileno(Protocol):
    def fileno(self) -> int: ...


class Sender(Struct):
    """All packets of one source with one number in one protocol. Of those that are damaged, only `bad` counts."""

    source: IPAddress
    last: Packet
    count: int = 0
    bad: int = 0
    outgoing: bool = False

    @property
    def carp(self) -> Advertisement | HardenedPacket | None:
        return None if isinstance(self.last.message, Vrrp) else self.last.message

    @property
    def vrrp(self) -> Vrrp | None:
        return self.last.message if isinstance(self.last.message, Vrrp) else None


class Observed(Struct):
    """What was heard. `claims` are the foreign MAC addresses that answered for an address."""

    seconds: float = 0.0
    senders: dict[tuple[IPAddress, str, int, int, bool], Sender] = field(default_factory=dict)
    damaged: dict[IPAddress, Packet] = field(default_factory=dict)
    delivered: Counter[tuple[IPAddress, int]] = field(default_factory=Counter)
    claims: dict[IPAddress, set[bytes]] = field(default_factory=dict)
    looped_back: dict[IPAddress, bool] = field(default_factory=dict)
    """By multicast group: whether a datagram of ours to it, which never left this machine, came back."""
    unprobed: str = ""
    """Why nobody was asked for addresses."""

    def carp(self, vhid: int | None = None, *, outgoing: bool = False) -> Iterator[Sender]:
        """Who advertises soundly, with this vhid or any."""
        return self._senders("carp", vhid, outgoing)

    def members(self, vhid: int, *, outgoing: bool = False) -> Iterator[Sender]:
        """Who sends what claims nothing, as backups do in the hardened mode."""
        return self._senders("member", vhid, outgoing)

    def returned(self, vhid: int) -> Iterator[Sender]:
        """What came in from an address of this machine's own."""
        return self._senders("returned", vhid, False)

    def _senders(self, kind: str, vhid: int | None, outgoing: bool) -> Iterator[Sender]:
        for (_, spoken, _, number, _), sender in self.senders.items():
            if spoken == kind and sender.outgoing == outgoing and vhid in (None, number):
                yield sender

    def vrrp(self) -> Iterator[tuple[Sender, Vrrp]]:
        for sender in self.senders.values():
            if sender.vrrp is not None and not sender.outgoing:
                yield sender, sender.vrrp


def listen(listeners: Sequence["Listener"], seconds: float) -> None:
    """Let all of them hear for so long."""
    end = time.monotonic() + seconds
    for listener in listeners:
        listener.begin(seconds)
    while (now := time.monotonic()) < end:
        for listener in listeners:
            listener.probe_if_due(now)
        sources = [source for listener in listeners for source in listener.sources]
        next_probe = min([end, *(listener.next_probe for listener in listeners)])
        if select.select(sources, [], [], max(0.0, next_probe - now))[0]:
            for listener in listeners:
                listener.read()


class Listener:
    """Open sockets on one interface, and what they have heard.

    Raises:
        OSError: CAP_NET_RAW is missing, or the interface is gone.
    """

    def __init__(
        self,
        link: Link,
        families: Collection[Family],
        groups: Sequence[IPAddress],
        addresses: Sequence[IPAddress],
        own: Collection[IPAddress],
    ) -> None:
        self.observed = Observed()
        self._own = set(own)
        self._addresses = list(addresses)
        self._open = ExitStack()
        self._carp: list[CarpSocket] = []
        self._watch: ClaimWatch | None = None
        self._prober: Prober | None = None
        self._probes_due: list[float] = []
        try:
            self._sniffer = Sniffer(link.name, groups)
            self._open.callback(self._sniffer.close)
            for family in families:
                self._carp.append(CarpSocket(link.name, link.index, family))
                self._open.callback(self._carp[-1].close)
        except OSError:
            self.close()
            raise
        for group in groups:
            with suppress(OSError):
                self.observed.looped_back[group] = loops_back(link.index, group)
        try:
            self._watch = ClaimWatch(link.index, link.mac)
            self._open.callback(self._watch.close)
            self._watch.watch(self._addresses)
            self._prober = Prober(link.name, link.mac)
            self._open.callback(self._prober.close)
        except OSError as error:
            self.observed.unprobed = error.strerror or str(error)
        self.sources: list[HasFileno] = [self._sniffer, *self._carp, *([self._watch] if self._watch else [])]

    def close(self) -> None:
        self._open.close()

    def begin(self, seconds: float) -> None:
        """From now on, questions are due."""
        self.observed.seconds = seconds
        every_s = min(_PROBE_EVERY_S, seconds / (_PROBES + 1))
        self._probes_due = [time.monotonic() + every_s * number for number in range(_PROBES)]

    @property
    def next_probe(self) -> float:
        return self._probes_due[0] if self._probes_due else math.inf

    def probe_if_due(self, now: float) -> None:
        """Ask who has the addresses, if that is due."""
        if now >= self.next_probe:
            self._probes_due.pop(0)
            self._probe(self._addresses)

    def read(self) -> None:
        """Take in what lies ready."""
        try:
            self._read()
        except OSError as error:
            # The interface has gone; what was heard stands.
            self.observed.unprobed = error.strerror or str(error)
            self.sources, self._probes_due = [], []

    def _read(self) -> None:
        for _ in range(_READ_LIMIT):
            sniffed = self._sniffer.receive()
            if sniffed is None:
                break
            packet = decode(frame_of(sniffed, self._sniffer.cooked))
            if packet is not None:
                self._record(packet)
        for sock in self._carp:
            for payload, _ttl, source in sock.receive(_READ_LIMIT):
                key = (source, payload[1])
                if key in self.observed.delivered or len(self.observed.delivered) < _DELIVERED_MAX:
                    self.observed.delivered[key] += 1
        if self._watch is not None:
            for claim in self._watch.receive(_READ_LIMIT):
                if claim.rank:
                    continue
                macs = self.observed.claims.setdefault(claim.address, set())
                if len(macs) < SENDERS_MAX:
                    macs.add(claim.mac)

    def _record(self, packet: Packet) -> None:
        source, message = packet.datagram.source, packet.message
        if packet.problems or message is None:
            if len(self.observed.damaged) < SENDERS_MAX:
                self.observed.damaged[source] = packet
            return
        if isinstance(message, Vrrp):
            kind, version, number = "vrrp", message.version, message.vrid
        else:
            claims = isinstance(message, Advertisement) or message.kind == Kind.ADVERTISEMENT
            kind, version, number = "carp" if claims else "member", message.version, message.vhid
        if source in self._own and not packet.datagram.outgoing:
            # The kernel takes it for forged: no program gets it, and nobody is a rival for it.
            kind = "returned"
        key = (source, kind, version, number, packet.datagram.outgoing)
        sender = self.observed.senders.get(key)
        if sender is None:
            if len(self.observed.senders) >= SENDERS_MAX:
                return
            sender = self.observed.senders[key] = Sender(source, packet, outgoing=packet.datagram.outgoing)
            learns = kind != "returned" and not packet.datagram.outgoing
            if learns and self._watch is not None and len(self._addresses) < SENDERS_MAX:
                # To know it again by its MAC address: ucarp puts another one than its card's into its frames.
                self._addresses.append(source)
                self._watch.watch(self._addresses)
                self._probe([source])
        sender.last = packet
        sender.count += 1

    def _probe(self, addresses: Sequence[IPAddress]) -> None:
        if self._prober is None:
            return
        for address in addresses:
            try:
                self._prober.ask([address])
            except OSError as error:
                self.observed.unprobed = error.strerror or str(error)


def loops_back(index: int, group: IPAddress, within_s: float = 0.3) -> bool:
    """Whether a datagram to the multicast group comes back to a member on this machine. With TTL 0, it stays here.

    Raises:
        OSError: it could not be sent, or the group not be joined.
    """
    v4 = group.version == 4
    level = socket.IPPROTO_IP if v4 else socket.IPPROTO_IPV6
    kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    with socket.socket(socket.AF_INET if v4 else socket.AF_INET6, kind) as sock:
        if v4:
            member = struct.pack("=4s4si", group.packed, bytes(4), index)
            options: list[tuple[int, int | bytes]] = [
                (socket.IP_ADD_MEMBERSHIP, member),
                (socket.IP_MULTICAST_IF, member),
                (socket.IP_MULTICAST_TTL, 0),
                (socket.IP_MULTICAST_LOOP, 1),
            ]
        else:
            options = [
                (socket.IPV6_JOIN_GROUP, struct.pack("=16si", group.packed, index)),
                (socket.IPV6_MULTICAST_IF, index),
                (socket.IPV6_MULTICAST_HOPS, 0),
                (socket.IPV6_MULTICAST_LOOP, 1),
            ]
        for option, value in options:
            sock.setsockopt(level, option, value)
        scope = () if v4 else (0, index)
        sock.bind((str(group), 0, *scope))
        port = sock.getsockname()[1]
        word = struct.pack("=Q", time.monotonic_ns())
        try:
            sock.sendto(word, (str(group), port, *scope))
        except PermissionError:
            return False
        end = time.monotonic() + within_s
        while select.select([sock], [], [], max(0.0, end - time.monotonic()))[0]:
            if sock.recv(64) == word:
                return True
        return False
