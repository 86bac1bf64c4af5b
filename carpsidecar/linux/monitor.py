"""News of links and addresses, as the kernel sends them.

Source: rtnetlink(7), net/core/rtnetlink.c. Each renewal of a lease is news to the kernel; a filter on the socket
refuses those, so that two hundred groups renewing every second do not wake the process. Bridges tell of their ports
with the same message types and family AF_BRIDGE: a port that leaves a bridge is no link that has gone.
"""

import errno
import socket
import struct
from contextlib import suppress

from msgspec import Struct

from carpsidecar.linux.netlink import IPAddress, Link
from carpsidecar.linux.packet_filter import attach, no_renewals
from carpsidecar.linux.rtnetlink import (
    AF_UNSPEC,
    HEADER,
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_NEWADDR,
    RTM_NEWLINK,
    address_from,
    has_moved,
    link_from,
    split,
)

_RTMGRP_LINK, _RTMGRP_IPV4_IFADDR, _RTMGRP_IPV6_IFADDR = 0x1, 0x10, 0x100
_SO_RCVBUFFORCE = 33
_BUFFER_BYTES = 4 << 20
_DATAGRAM_MAX = 65536


class LinkChanged(Struct, frozen=True):
    """A link is new, or is different now: up, down, or renamed (the same index and another name)."""

    link: Link


class LinkGone(Struct, frozen=True):
    index: int
    name: str


class LinkMoved(Struct, frozen=True):
    """What is behind a link has to be announced anew, though the link is as it was: a bond failed over to another
    port, a virtual machine was migrated."""

    index: int


class AddressAdded(Struct, frozen=True):
    """An address is new or has changed. Renewals of leases are left out."""

    index: int
    address: IPAddress
    prefixlen: int
    permanent: bool
    leased: bool = False
    """Whether it has the shape of a lease of ours."""


class AddressRemoved(Struct, frozen=True):
    index: int
    address: IPAddress
    prefixlen: int
    permanent: bool
    leased: bool = False


class Overrun(Struct, frozen=True):
    """News were lost for want of room: read everything anew."""


Event = LinkChanged | LinkGone | LinkMoved | AddressAdded | AddressRemoved | Overrun


class Monitor:
    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        with suppress(OSError):  # beyond net.core.rmem_max only with CAP_NET_ADMIN
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        attach(self._socket, no_renewals())
        self._socket.bind((0, _RTMGRP_LINK | _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV6_IFADDR))

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def read(self, limit: int = 256) -> list[Event]:
        """What has happened, oldest first; reads `limit` datagrams at most."""
        events: list[Event] = []
        for _ in range(limit):
            try:
                datagram = self._socket.recv(_DATAGRAM_MAX)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                events.append(Overrun())
                continue
            for kind, _flags, _sequence, message in split(datagram):
                events += events_from(kind, message)
        return events


def events_from(kind: int, message: bytes) -> list[Event]:
    """What one message of the kernel says: nothing, or one event, or two."""
    if kind in (RTM_NEWLINK, RTM_DELLINK):
        if struct.unpack_from("=B", message, HEADER.size)[0] != AF_UNSPEC:
            return []
        link = link_from(message)
        if kind == RTM_DELLINK:
            return [LinkGone(link.index, link.name)]
        return [LinkChanged(link), LinkMoved(link.index)] if has_moved(message) else [LinkChanged(link)]
    if kind in (RTM_NEWADDR, RTM_DELADDR):
        held = address_from(message)
        what = AddressAdded if kind == RTM_NEWADDR else AddressRemoved
        prefixlen = held.interface.network.prefixlen
        return [what(held.index, held.interface.ip, prefixlen, held.permanent, held.leased)]
    return []
