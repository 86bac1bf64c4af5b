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
from dataclasses import dataclass, field
from typing import Protocol

from carpsidecar.capture.decode import Packet, Vrrp, decode
from carpsidecar.capture.live import frame_of
from carpsidecar.config.group import Family
from carpsidecar.linux.address_probe import Prober
from carpsidecar.linux.carp_socket import CarpSocket
from carpsidecar.linux.claims import ClaimWatch
from carpsidecar.linux.netlink import IPAddress, Link
from carpsidecar.linux.sniffer import Sniffer
from carpsidecar.protocol.packet import Advertisement

SPEAKERS_MAX = 1024
_DELIVERED_MAX = 16 * SPEAKERS_MAX
_PROBES = 3
_PROBE_EVERY_S = 0.4
_READ_LIMIT = 256


class HasFileno(Protocol):
    def fileno(self) -> int: ...


@dataclass(slots=True)
class Speaker:
    """All packets of one source with one number in one protocol. Of those that are damaged, only `bad` counts."""

    source: IPAddress
    last: Packet
    count: int = 0
    bad: int = 0
    outgoing: bool = False

    @property
    def advertisement(self) -> Advertisement | None:
        return self.last.message if isinstance(self.last.message, Advertisement) else None

    @property
    def vrrp(self) -> Vrrp | None:
        return self.last.message if isinstance(self.last.message, Vrrp) else None


@dataclass(slots=True)
class Hearing:
    """What was heard. `claims` are the foreign MAC addresses that answered for an address."""

    seconds: float = 0.0
    speakers: dict[tuple[IPAddress, str, int, int, bool], Speaker] = field(default_factory=dict)
    damaged: dict[IPAddress, Packet] = field(default_factory=dict)
    delivered: Counter[tuple[IPAddress, int]] = field(default_factory=Counter)
    claims: dict[IPAddress, set[bytes]] = field(default_factory=dict)
    returned: dict[IPAddress, bool] = field(default_factory=dict)
    """By multicast group: whether a datagram of ours to it, which never left this machine, came back."""
    unprobed: str = ""
    """Why nobody was asked for addresses."""

    def carp(self, vhid: int | None = None, *, outgoing: bool = False) -> Iterator[Speaker]:
        """Who speaks sound CARP, with this vhid or any."""
        for speaker in self.speakers.values():
            message = speaker.advertisement
            if message is not None and speaker.outgoing == outgoing and vhid in (None, message.vhid):
                yield speaker

    def vrrp(self) -> Iterator[tuple[Speaker, Vrrp]]:
        for speaker in self.speakers.values():
            if speaker.vrrp is not None and not speaker.outgoing:
                yield speaker, speaker.vrrp


def listen(ears: Sequence["Ear"], seconds: float) -> None:
    """Let all of them hear for so long."""
    end = time.monotonic() + seconds
    for ear in ears:
        ear.begin(seconds)
    while (now := time.monotonic()) < end:
        for ear in ears:
            ear.ask(now)
        sources = [source for ear in ears for source in ear.sources]
        next_question = min([end, *(ear.next_question for ear in ears)])
        if select.select(sources, [], [], max(0.0, next_question - now))[0]:
            for ear in ears:
                ear.read()


class Ear:
    """Open sockets on one interface, and what they have heard.

    Raises:
        OSError: CAP_NET_RAW is missing, or the interface is gone.
    """

    def __init__(
        self, link: Link, families: Collection[Family], groups: Sequence[IPAddress], addresses: Sequence[IPAddress]
    ) -> None:
        self.hearing = Hearing()
        self._addresses = list(addresses)
        self._open = ExitStack()
        self._carp: list[CarpSocket] = []
        self._watch: ClaimWatch | None = None
        self._prober: Prober | None = None
        self._questions: list[float] = []
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
                self.hearing.returned[group] = comes_back(link.index, group)
        try:
            self._watch = ClaimWatch(link.index, link.mac)
            self._open.callback(self._watch.close)
            self._watch.watch(self._addresses)
            self._prober = Prober(link.name, link.mac)
            self._open.callback(self._prober.close)
        except OSError as error:
            self.hearing.unprobed = error.strerror or str(error)
        self.sources: list[HasFileno] = [self._sniffer, *self._carp, *([self._watch] if self._watch else [])]

    def close(self) -> None:
        self._open.close()

    def begin(self, seconds: float) -> None:
        """From now on, questions are due."""
        self.hearing.seconds = seconds
        every_s = min(_PROBE_EVERY_S, seconds / (_PROBES + 1))
        self._questions = [time.monotonic() + every_s * number for number in range(_PROBES)]

    @property
    def next_question(self) -> float:
        return self._questions[0] if self._questions else math.inf

    def ask(self, now: float) -> None:
        """Ask who has the addresses, if that is due."""
        if now >= self.next_question:
            self._questions.pop(0)
            self._probe(self._addresses)

    def read(self) -> None:
        """Take in what lies ready."""
        try:
            self._read()
        except OSError as error:
            # The interface has gone; what was heard stands.
            self.hearing.unprobed = error.strerror or str(error)
            self.sources, self._questions = [], []

    def _read(self) -> None:
        for _ in range(_READ_LIMIT):
            sniffed = self._sniffer.receive()
            if sniffed is None:
                break
            packet = decode(frame_of(sniffed, self._sniffer.cooked))
            if packet is not None:
                self._heard(packet)
        for sock in self._carp:
            for payload, _ttl, source in sock.receive(_READ_LIMIT):
                key = (source, payload[1])
                if key in self.hearing.delivered or len(self.hearing.delivered) < _DELIVERED_MAX:
                    self.hearing.delivered[key] += 1
        if self._watch is not None:
            for claim in self._watch.receive(_READ_LIMIT):
                macs = self.hearing.claims.setdefault(claim.address, set())
                if len(macs) < SPEAKERS_MAX:
                    macs.add(claim.mac)

    def _heard(self, packet: Packet) -> None:
        source, message = packet.datagram.source, packet.message
        if packet.problems or message is None:
            if len(self.hearing.damaged) < SPEAKERS_MAX:
                self.hearing.damaged[source] = packet
            return
        if isinstance(message, Vrrp):
            kind, version, number = "vrrp", message.version, message.vrid
        else:
            kind, version, number = "carp", message.version, message.vhid
        key = (source, kind, version, number, packet.datagram.outgoing)
        speaker = self.hearing.speakers.get(key)
        if speaker is None:
            if len(self.hearing.speakers) >= SPEAKERS_MAX:
                return
            speaker = self.hearing.speakers[key] = Speaker(source, packet, outgoing=packet.datagram.outgoing)
            if not packet.datagram.outgoing and self._watch is not None and len(self._addresses) < SPEAKERS_MAX:
                # To know it again by its MAC address: ucarp puts another one than its card's into its frames.
                self._addresses.append(source)
                self._watch.watch(self._addresses)
                self._probe([source])
        speaker.last = packet
        speaker.count += 1

    def _probe(self, addresses: Sequence[IPAddress]) -> None:
        if self._prober is None:
            return
        for address in addresses:
            try:
                self._prober.ask(address)
            except OSError as error:
                self.hearing.unprobed = error.strerror or str(error)


def comes_back(index: int, group: IPAddress, within_s: float = 0.3) -> bool:
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
