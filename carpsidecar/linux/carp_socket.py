"""Sends and receives IP protocol 112 on one interface.

Source: ip(7), ipv6(7), raw(7), RFC 3542 (IPV6_PKTINFO, IPV6_HOPLIMIT), RFC 3376 (joining); ucarp 1.5.2, carp.c and
garp.c (option -M: an Ethernet broadcast whose IP header still carries the group). One socket serves all groups of
an interface: the source of each packet is given with it. What has not the shape of CARP, or another vhid, goes to
StrangerSocket, which nobody waits on, so that a flood of it never wakes the process.
"""

import errno
import os
import select
import socket
import struct
from collections.abc import Callable, Collection
from contextlib import suppress
from ipaddress import IPv4Address
from typing import Literal, TypeVar

from carpsidecar.linux.carp_receiver import PROTOCOL_CARP, HeldSourceSocket, Received, Receiver, StrangerSocket
from carpsidecar.linux.frames import BROADCAST_MAC, ETH_P_IP, ipv4_packet
from carpsidecar.linux.netlink import IPAddress
from carpsidecar.linux.packet_filter import Vhids, carp_from, carp_only, members_only, newcomers_only

__all__ = ["PROTOCOL_CARP", "CarpSocket", "Received", "StrangerSocket"]

_TTL, _LOW_DELAY = 255, 0x10
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_DO = 10, 23, 2
_IP_PKTINFO = 8
# So that a bow-out can leave from an address that is gone already.
_IP_TRANSPARENT, _IPV6_TRANSPARENT = 19, 75
_CACHED_MAX = 4096
# Some 5,400 packets, at the kernel's price of 768 bytes each: a flood of 180,000 a second may meet a process that
# does not run for 30 ms, and no advertisement is lost. More would only make old news of what waits at the end.
_BUFFER_BYTES = 2 << 20
_NEWCOMERS_BUFFER_BYTES = 256 << 10
_HEAR_FROM_HELD_EVERY_S = 10.0
_NEWCOMERS_SHARE = 4
"""Of what is read in one go, a newcomer's part is at most one in so many."""
_LEVEL = {4: socket.IPPROTO_IP, 6: socket.IPPROTO_IPV6}

_Control = list[tuple[int, int, bytes]]
_Target = tuple[str, int] | tuple[str, int, int, int]
_R = TypeVar("_R", bound=Receiver)


def _at_once(function: Callable[[], None]) -> None:
    function()


class CarpSocket:
    """Sends, and receives what has the shape of CARP and one of the vhids.

    Members, once they are known, are heard by a socket of their own, so that a flood from invented senders takes no
    room from them; and who sends from an address that this machine holds by another one.
    """

    def __init__(
        self,
        interface: str,
        index: int,
        family: Literal[4, 6],
        run: Callable[[Callable[[], None]], object] = _at_once,
    ) -> None:
        """`run` is given what waits for the kernel, to be done beside the loop."""
        self._interface = interface
        self._index = index
        self._family: Literal[4, 6] = family
        self._run = run
        self._vhids: frozenset[int] | None = None
        self._known: frozenset[IPAddress] = frozenset()
        self._held: frozenset[IPv4Address] = frozenset()
        """Whose senders are heard at the moment."""
        self._held_now: frozenset[IPv4Address] = frozenset()
        self._hears_at = self._hears_until = 0.0
        self._members = Receiver(interface, family, carp_only(family), _BUFFER_BYTES)
        self._newcomers: Receiver | None = None
        self._from_held: HeldSourceSocket | None = None
        self._epoll = select.epoll()
        self._epoll.register(self._members, select.EPOLLIN)
        self._groups: list[IPAddress] = []
        self._broadcaster: socket.socket | None = None
        self._envelopes: dict[tuple[IPAddress, IPAddress], tuple[_Control, _Target]] = {}
        try:
            self._set_up()
        except OSError:
            self.close()
            raise

    def fileno(self) -> int:
        """An epoll descriptor over all that is received by; it can be polled like any other."""
        return self._epoll.fileno()

    def close(self) -> None:
        for opened in (*self._receivers, self._broadcaster):
            if opened is not None:
                opened.close()
        self._epoll.close()

    @property
    def _receivers(self) -> list[Receiver]:
        return [receiver for receiver in (self._members, self._from_held, self._newcomers) if receiver is not None]

    @property
    def taken(self) -> int:
        """How many packets were received."""
        return sum(receiver.taken for receiver in self._receivers)

    def receive(self, limit: int) -> list[Received]:
        """What lies ready, members first, `limit` packets of them at most."""
        received = self._members.receive(limit)
        if self._newcomers is not None:
            received += self._newcomers.receive(max(1, limit // _NEWCOMERS_SHARE))
        if self._from_held is not None:
            # With accept_local=1 they come both ways.
            received = [packet for packet in received if packet.source not in self._held]
            received += self._from_held.receive(limit)
        return received

    def unread(self) -> int:
        """How many packets found no room since last time."""
        return sum(receiver.unread() for receiver in self._receivers)

    def missed(self) -> bool:
        """Whether something of a member may have found no room since last time."""
        return self._members.overflowed()

    def narrow_to(self, vhids: Vhids) -> None:
        """From now on, what has one of these vhids."""
        vhids = None if vhids is None else frozenset(vhids)
        if vhids != self._vhids:
            self._vhids = vhids
            self._narrow()

    def prefer(self, members: Collection[IPAddress]) -> None:
        """Give these senders a socket of their own. None: all share one."""
        known = frozenset(members)
        if known != self._known:
            self._known = known
            self._narrow()

    def hear_from(self, held: Collection[IPAddress], now: float, for_s: float) -> None:
        """This machine holds these addresses now: who sends from them is heard all the same.

        That costs each IPv4 packet that arrives a quarter of a microsecond, and such a sender is rare. So they are
        heard when the addresses have changed, and from then on for so long in each ten seconds. To be called every
        second.
        """
        v4 = frozenset(address for address in held if isinstance(address, IPv4Address))
        if v4 != self._held_now:
            self._held_now, self._hears_at = v4, now
        if now >= self._hears_at:
            self._hears_until, self._hears_at = now + for_s, now + _HEAR_FROM_HELD_EVERY_S
        v4 = v4 if now < self._hears_until else frozenset()
        if self._family == 4 and v4 != self._held:
            self._held = v4
            self._narrow_held()

    def _narrow(self) -> None:
        program = newcomers_only(self._family, self._vhids, self._known) if self._known else None
        self._newcomers = self._with(self._newcomers, Receiver, program, _NEWCOMERS_BUFFER_BYTES)
        only_members = members_only(self._family, self._vhids, self._known)
        self._members.narrow(only_members if self._known else carp_only(self._family, self._vhids))
        self._narrow_held()

    def _narrow_held(self) -> None:
        program = carp_from(self._vhids, self._held) if self._held else None
        self._from_held = self._with(self._from_held, HeldSourceSocket, program, _NEWCOMERS_BUFFER_BYTES)

    def _with(self, receiver: _R | None, kind: type[_R], program: bytes | None, buffer_bytes: int) -> _R | None:
        """A receiver with this filter, opened or closed where it takes that."""
        if program is None:
            if receiver is not None:
                self._epoll.unregister(receiver)
                # Where that is a packet socket the kernel waits until no processor looks at it any more
                # (packet_release in net/packet/af_packet.c), on a busy machine for a tenth of a second.
                self._run(receiver.close)
            return None
        if receiver is None:
            receiver = kind(self._interface, self._family, program, buffer_bytes)
            self._epoll.register(receiver, select.EPOLLIN)
        else:
            receiver.narrow(program)
        return receiver

    def join(self, group: IPAddress) -> None:
        """Take part in a multicast group on this interface; once is enough, twice does no harm."""
        if group not in self._groups:
            self._membership(group, join=True)
            self._groups.append(group)

    def rejoin(self) -> None:
        """Leave and join again, so that switches which forgot us while the link was down hear a new report."""
        for group in self._groups:
            with suppress(OSError):
                self._membership(group, join=False)
            self._membership(group, join=True)

    def send(self, payload: bytes, source: IPAddress, destination: IPAddress) -> None:
        envelope = self._envelopes.get((source, destination)) or self._envelope(source, destination)
        try:
            self._members.socket.sendmsg((payload,), envelope[0], 0, envelope[1])
        except OSError as error:
            raise self._unsent(error, source, destination) from None

    def send_broadcast(self, payload: bytes, source: IPv4Address, destination: IPv4Address) -> None:
        """To everybody on the segment, though the IP header names the group: ucarp heeds no other destination."""
        if self._broadcaster is None:
            kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            self._broadcaster = socket.socket(socket.AF_PACKET, kind, 0)
        packet = ipv4_packet(PROTOCOL_CARP, source, destination, payload)
        try:
            name = socket.if_indextoname(self._index)
            self._broadcaster.sendto(packet, (name, ETH_P_IP, 0, 0, BROADCAST_MAC))
        except OSError as error:
            raise self._unsent(error, source, destination) from None

    def _set_up(self) -> None:
        if self._family == 4:
            own_group_interface = struct.pack("=4s4si", b"", b"", self._index)
            options: list[tuple[int, int | bytes]] = [
                (socket.IP_TTL, _TTL),
                (socket.IP_MULTICAST_TTL, _TTL),
                (socket.IP_TOS, _LOW_DELAY),
                (socket.IP_MULTICAST_LOOP, 0),
                (socket.IP_MULTICAST_IF, own_group_interface),
                (_IP_MTU_DISCOVER, _PMTUDISC_DO),
            ]
        else:
            options = [
                (socket.IPV6_UNICAST_HOPS, _TTL),
                (socket.IPV6_MULTICAST_HOPS, _TTL),
                (socket.IPV6_TCLASS, _LOW_DELAY),
                (socket.IPV6_MULTICAST_LOOP, 0),
                (socket.IPV6_MULTICAST_IF, self._index),
                (_IPV6_MTU_DISCOVER, _PMTUDISC_DO),
            ]
        for option, value in options:
            self._members.socket.setsockopt(_LEVEL[self._family], option, value)
        try:
            transparent = _IP_TRANSPARENT if self._family == 4 else _IPV6_TRANSPARENT
            self._members.socket.setsockopt(_LEVEL[self._family], transparent, 1)
        except OSError as error:
            if error.errno != errno.ENOPROTOOPT:  # QEMU's user emulation does not know the option
                raise

    def _membership(self, group: IPAddress, join: bool) -> None:
        if self._family == 4:
            option = socket.IP_ADD_MEMBERSHIP if join else socket.IP_DROP_MEMBERSHIP
            value = struct.pack("=4s4si", group.packed, b"", self._index)
        else:
            option = socket.IPV6_JOIN_GROUP if join else socket.IPV6_LEAVE_GROUP
            value = struct.pack("=16si", group.packed, self._index)
        try:
            self._members.socket.setsockopt(_LEVEL[self._family], option, value)
        except OSError as error:
            verb = "join" if join else "leave"
            text = f"cannot {verb} {group} on {self._interface}: {os.strerror(error.errno or 0)}"
            raise OSError(error.errno, text) from None

    def _envelope(self, source: IPAddress, destination: IPAddress) -> tuple[_Control, _Target]:
        """Source address and destination as sendmsg() wants them, kept for the next time."""
        target: _Target
        if self._family == 4:
            information = struct.pack("=i4s4s", self._index, source.packed, b"")
            control = [(socket.IPPROTO_IP, _IP_PKTINFO, information)]
            target = (str(destination), 0)
        else:
            information = struct.pack("=16si", source.packed, self._index)
            control = [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, information)]
            target = (str(destination).partition("%")[0], 0, 0, self._index)
        if len(self._envelopes) >= _CACHED_MAX:
            self._envelopes.clear()
        self._envelopes[source, destination] = control, target
        return control, target

    def _unsent(self, error: OSError, source: IPAddress, destination: IPAddress) -> OSError:
        reason = os.strerror(error.errno or 0)
        text = f"cannot send from {source} to {destination} on {self._interface}: {reason}"
        return OSError(error.errno, text)
