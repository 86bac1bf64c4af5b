"""Receives IP protocol 112 on one interface: each socket with a filter and a buffer of its own.

Source: ip(7), ipv6(7), raw(7), packet(7), net/ipv4/raw.c. What need not be told apart by reading it is told apart
by the kernel, so that no kind takes room from another.
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

from carpsidecar.linux.frames import ETH_P_IP
from carpsidecar.linux.netlink import IPAddress
from carpsidecar.linux.packet_filter import Vhids, attach, strangers_only

PROTOCOL_CARP = 112
_SO_MEMINFO, _MEMINFO_DROPS = 55, 8
_PACKET_MAX, _CONTROL_MAX = 2048, 64
_CACHED_MAX = 4096
_SO_RCVBUFFORCE = 33
_STRANGER_BUFFER_BYTES = 16 << 10


class Received(NamedTuple):
    payload: bytes
    ttl: int
    source: IPAddress


class Receiver:
    """A filtered protocol 112 socket bound to one interface."""

    def __init__(self, interface: str, family: Literal[4, 6], program: bytes, buffer_bytes: int) -> None:
        self.taken = 0
        """How many packets were received."""
        self._interface = interface
        self._sources: dict[bytes | str, IPAddress] = {}
        self.receive: Callable[[int], list[Received]] = self._receive_v4 if family == 4 else self._receive_v6
        try:
            self.socket = self._opened(family)
        except OSError as error:
            raise self._unusable(error) from None
        try:
            attach(self.socket, program)
            self._bind(family)
            with suppress(OSError):  # beyond net.core.rmem_max only with CAP_NET_ADMIN
                self.socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer_bytes)
            self.receive(_CACHED_MAX)  # what came in before filter and interface were set
        except OSError as error:
            self.socket.close()
            raise self._unusable(error) from None
        self._dropped = self._overflowed = self._drops()

    def fileno(self) -> int:
        return self.socket.fileno()

    def close(self) -> None:
        self.socket.close()

    def narrow(self, program: bytes) -> None:
        """Another filter, for what comes from now on."""
        attach(self.socket, program)

    def unread(self) -> int:
        """How many packets found no room since last time.

        While there is no room the kernel counts all of protocol 112, for it asks the filter only afterwards.
        """
        before, self._dropped = self._dropped, self._drops()
        return (self._dropped - before) & 0xFFFFFFFF

    def overflowed(self) -> bool:
        """Whether there was no room since last time."""
        before, self._overflowed = self._overflowed, self._drops()
        return before != self._overflowed

    def _opened(self, family: Literal[4, 6]) -> socket.socket:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        return socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, kind, PROTOCOL_CARP)

    def _bind(self, family: Literal[4, 6]) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._interface.encode())
        if family == 6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)

    def _drops(self) -> int:
        information = self.socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 9 * 4)
        if len(information) < 9 * 4:  # QEMU's user emulation does not know the option
            return 0
        return int(struct.unpack_from("=I", information, 4 * _MEMINFO_DROPS)[0])

    def _receive_v4(self, limit: int) -> list[Received]:
        """What lies ready, `limit` packets at most."""
        received: list[Received] = []
        sources = self._sources
        try:
            for _ in range(limit):
                packet = self.socket.recv(_PACKET_MAX)
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
                payload, control, _flags, sender = self.socket.recvmsg(_PACKET_MAX, _CONTROL_MAX)
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


class StrangerSocket(Receiver):
    """A sample of what else uses protocol 112 here: VRRP, other vhids, cut short, a wrong TTL, garbage.

    It joins no group: what multicast it sees, it sees because a CarpSocket on this interface joined.
    """

    def __init__(self, interface: str, index: int, family: Literal[4, 6], vhids: Vhids = None) -> None:
        self._index = index
        self._family: Literal[4, 6] = family
        self._vhids = None if vhids is None else frozenset(vhids)
        super().__init__(interface, family, strangers_only(family, vhids), _STRANGER_BUFFER_BYTES)

    def narrow_to(self, vhids: Vhids) -> None:
        """What is left over by a CarpSocket that is narrowed to these."""
        vhids = None if vhids is None else frozenset(vhids)
        if vhids != self._vhids:
            self._vhids = vhids
            self.narrow(strangers_only(self._family, vhids))

    def sample(self, limit: int) -> tuple[list[Received], int]:
        """What was there, `limit` packets at most, and how many found no room since last time."""
        return self.receive(limit), self.unread()


class HeldSourceSocket(Receiver):
    """Advertisements that come from an address that this machine holds itself, as a BSD sends them that has no
    other on that interface. A raw socket never sees them: IPv4 drops them as martians before (net/ipv4/route.c)."""

    def _opened(self, family: Literal[4, 6]) -> socket.socket:
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        return socket.socket(socket.AF_PACKET, kind, 0)

    def _bind(self, family: Literal[4, 6]) -> None:
        self.socket.bind((self._interface, ETH_P_IP))
