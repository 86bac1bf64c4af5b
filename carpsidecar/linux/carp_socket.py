"""Sends and receives IP protocol 112 on one interface.

Source: ip(7), ipv6(7), raw(7), RFC 3542 (IPV6_PKTINFO, IPV6_HOPLIMIT), RFC 3376 (joining); ucarp 1.5.2, carp.c and
garp.c (option -M: an Ethernet broadcast whose IP header still carries the group). One socket serves all groups of
an interface: the source of each packet is given with it. What has not the shape of CARP goes to StrangerSocket,
which nobody waits on, so that a flood of it never wakes the process.
"""

import errno
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from sys import byteorder
from typing import Literal, NamedTuple

from carpsidecar.linux.frames import BROADCAST_MAC, ETH_P_IP, ipv4_packet
from carpsidecar.linux.netlink import IPAddress
from carpsidecar.linux.packet_filter import attach, carp_only, strangers_only

PROTOCOL_CARP = 112
_TTL, _LOW_DELAY = 255, 0x10
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_DO = 10, 23, 2
_IP_PKTINFO, _SO_MEMINFO, _MEMINFO_DROPS = 8, 55, 8
_PACKET_MAX, _CONTROL_MAX = 2048, 64
_CACHED_MAX = 4096
_SO_RCVBUFFORCE = 33
# Some 1,300 packets, at the kernel's price of 768 bytes each: a flood of 50,000 a second may meet a process that
# does not run for 25 ms, and no advertisement is lost. More would only make old news of what waits at the end.
_BUFFER_BYTES = 512 << 10
_STRANGER_BUFFER_BYTES = 16 << 10
_LEVEL = {4: socket.IPPROTO_IP, 6: socket.IPPROTO_IPV6}

_Control = list[tuple[int, int, bytes]]
_Target = tuple[str, int] | tuple[str, int, int, int]


class Received(NamedTuple):
    payload: bytes
    ttl: int
    source: IPAddress


class _Receiver:
    """A filtered protocol 112 socket bound to one interface."""

    def __init__(self, interface: str, family: Literal[4, 6], program: bytes) -> None:
        self.taken = 0
        """How many packets were received."""
        self._interface = interface
        self._sources: dict[bytes | str, IPAddress] = {}
        self.receive: Callable[[int], list[Received]] = self._receive_v4 if family == 4 else self._receive_v6
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        try:
            self._socket = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, kind, PROTOCOL_CARP)
        except OSError as error:
            raise self._unusable(error) from None
        try:
            attach(self._socket, program)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            if family == 6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
            self.receive(_CACHED_MAX)  # what came in before filter and interface were set
        except OSError as error:
            self._socket.close()
            raise self._unusable(error) from None
        self._dropped = self._drops()

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def unread(self) -> int:
        """How many packets found no room since last time.

        While there is no room the kernel counts all of protocol 112, for it asks the filter only afterwards.
        """
        before, self._dropped = self._dropped, self._drops()
        return (self._dropped - before) & 0xFFFFFFFF

    def _drops(self) -> int:
        information = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 9 * 4)
        if len(information) < 9 * 4:  # QEMU's user emulation does not know the option
            return 0
        return int(struct.unpack_from("=I", information, 4 * _MEMINFO_DROPS)[0])

    def _receive_v4(self, limit: int) -> list[Received]:
        """What lies ready, `limit` packets at most."""
        received: list[Received] = []
        sources = self._sources
        try:
            for _ in range(limit):
                packet = self._socket.recv(_PACKET_MAX)
                raw = packet[12:16]
                source = sources.get(raw) or self._remember(raw, IPv4Address(raw))
                received.append(Received(packet[(packet[0] & 15) * 4 :], packet[8], source))
        except BlockingIOError:
            pass
        self.taken += len(received)
        return received

    def _receive_v6(self, limit: int) -> list[Received]:
        """What lies ready, `limit` packets at most."""
        received: list[Received] = []
        sources = self._sources
        try:
            for _ in range(limit):
                payload, control, _flags, sender = self._socket.recvmsg(_PACKET_MAX, _CONTROL_MAX)
                text: str = sender[0]
                source = sources.get(text) or self._remember(text, IPv6Address(text.partition("%")[0]))
                hops = int.from_bytes(control[0][2], byteorder) if control else 0
                received.append(Received(payload, hops, source))
        except BlockingIOError:
            pass
        self.taken += len(received)
        return received

    def _unusable(self, error: OSError) -> OSError:
        hint = ": CAP_NET_RAW is needed" if error.errno == errno.EPERM else ""
        text = f"cannot use IP protocol {PROTOCOL_CARP} on {self._interface}: {os.strerror(error.errno or 0)}{hint}"
        return OSError(error.errno, text)

    def _remember(self, key: bytes | str, source: IPAddress) -> IPAddress:
        if len(self._sources) >= _CACHED_MAX:
            self._sources.clear()
        self._sources[key] = source
        return source


class CarpSocket(_Receiver):
    def __init__(self, interface: str, index: int, family: Literal[4, 6]) -> None:
        super().__init__(interface, family, carp_only(family))
        self._index = index
        self._family = family
        with suppress(OSError):  # beyond net.core.rmem_max only with CAP_NET_ADMIN
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._groups: list[IPAddress] = []
        self._broadcaster: socket.socket | None = None
        self._envelopes: dict[tuple[IPAddress, IPAddress], tuple[_Control, _Target]] = {}
        try:
            self._set_up()
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        super().close()
        if self._broadcaster is not None:
            self._broadcaster.close()

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
            self._socket.sendmsg((payload,), envelope[0], 0, envelope[1])
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
            self._socket.setsockopt(_LEVEL[self._family], option, value)

    def _membership(self, group: IPAddress, join: bool) -> None:
        if self._family == 4:
            option = socket.IP_ADD_MEMBERSHIP if join else socket.IP_DROP_MEMBERSHIP
            value = struct.pack("=4s4si", group.packed, b"", self._index)
        else:
            option = socket.IPV6_JOIN_GROUP if join else socket.IPV6_LEAVE_GROUP
            value = struct.pack("=16si", group.packed, self._index)
        try:
            self._socket.setsockopt(_LEVEL[self._family], option, value)
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


class StrangerSocket(_Receiver):
    """A sample of what else uses protocol 112 here: VRRP, cut short, a wrong TTL, garbage.

    It joins no group: what multicast it sees, it sees because a CarpSocket on this interface joined.
    """

    def __init__(self, interface: str, index: int, family: Literal[4, 6]) -> None:
        super().__init__(interface, family, strangers_only(family))
        self._index = index
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _STRANGER_BUFFER_BYTES)

    def sample(self, limit: int) -> tuple[list[Received], int]:
        """What was there, `limit` packets at most, and how many found no room since last time."""
        return self.receive(limit), self.unread()
