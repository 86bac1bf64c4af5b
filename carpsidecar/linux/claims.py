"""Hears when another machine claims one of our addresses, by ARP or by neighbour advertisement, asked or not, or is
about to and asks for it.

Source: RFC 5227 section 2.4 (any ARP with the sender address in conflict counts), RFC 4861, packet(7). The socket
for each family is opened when there are addresses of that family to watch, because an open one costs every packet
of its kind a look. A packet socket for one protocol does not see what this machine sends.
"""

import errno
import select
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from msgspec import Struct

from carpsidecar.linux.frames import ETH_P_ARP, ETH_P_IPV6, NEIGHBOUR_SOLICITATION
from carpsidecar.linux.netlink import IPAddress
from carpsidecar.linux.packet_filter import attach, claims_of

_FRAME_MAX = 128
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_SO_RCVBUFFORCE = 33
# The answers to questions for a thousand addresses at once, at the kernel's price of 768 bytes each.
_BUFFER_BYTES = 512 << 10
_PROTOCOLS: dict[Literal[4, 6], int] = {4: ETH_P_ARP, 6: ETH_P_IPV6}


class Claim(Struct, frozen=True):
    """`solicited`: it answers a question of ours, and nobody else sees it. `rank`: not empty where it only asks,
    since it is about to take the address (`Prober.ask`)."""

    address: IPAddress
    mac: bytes
    solicited: bool = False
    rank: bytes = b""


class ClaimWatch:
    def __init__(self, index: int, mac: bytes) -> None:
        if len(mac) != 6:
            raise OSError(errno.EINVAL, f"interface {index} has no Ethernet address: claims cannot be told apart")
        self._index = index
        self._mac = mac
        self._watched: dict[bytes, IPAddress] = {}
        self._sockets: dict[Literal[4, 6], socket.socket] = {}
        self._epoll = select.epoll()
        self.flooded = False
        """Whether the last `receive` left something unread."""

    def fileno(self) -> int:
        """An epoll descriptor over both sockets; it can be polled like any other."""
        return self._epoll.fileno()

    def close(self) -> None:
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()
        self._epoll.close()

    def watch(self, addresses: Iterable[IPAddress]) -> None:
        """From now on these addresses, and no others."""
        watched = {address.packed: address for address in addresses}
        if watched.keys() == self._watched.keys():
            return
        v4 = [address for address in watched.values() if isinstance(address, IPv4Address)]
        v6 = [address for address in watched.values() if isinstance(address, IPv6Address)]
        self._narrow(4, claims_of(4, self._mac, v4) if v4 else None)
        self._narrow(6, claims_of(6, self._mac, v6) if v6 else None)
        # Only now: what failed is to be tried again.
        self._watched = watched

    def receive(self, limit: int) -> list[Claim]:
        """The claims that lie ready; reads `limit` frames of each family at most."""
        claims: list[Claim] = []
        self.flooded = False
        for family, sock in self._sockets.items():
            for _ in range(limit):
                try:
                    frame = sock.recv(_FRAME_MAX)
                except BlockingIOError:
                    break
                except OSError as error:
                    if error.errno != errno.ENETDOWN:  # said once when the interface goes down
                        raise
                    continue
                claim = self._claim(family, frame)
                if claim is not None:
                    claims.append(claim)
            else:
                self.flooded = True
        return claims

    def unread(self) -> int:
        """How many claims found no room since last time."""
        counts = [sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8) for sock in self._sockets.values()]
        return sum(struct.unpack("=II", count)[1] for count in counts)

    def _narrow(self, family: Literal[4, 6], program: bytes | None) -> None:
        sock = self._sockets.get(family)
        if program is None:
            if sock is not None:
                sock.close()
                del self._sockets[family]
        elif sock is not None:
            attach(sock, program)
        else:
            self._sockets[family] = self._open(family, program)

    def _open(self, family: Literal[4, 6], program: bytes) -> socket.socket:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        sock = socket.socket(socket.AF_PACKET, kind, 0)
        try:
            attach(sock, program)
            with suppress(OSError):  # beyond net.core.rmem_max only with CAP_NET_ADMIN
                sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
            sock.bind((socket.if_indextoname(self._index), _PROTOCOLS[family]))
            self._epoll.register(sock, select.EPOLLIN)
        except OSError:
            sock.close()
            raise
        return sock

    def _claim(self, family: Literal[4, 6], frame: bytes) -> Claim | None:
        if family == 4:
            mac, asks = frame[22:28], frame[28:32] == bytes(4)
            claimed, rank = (frame[38:42], frame[32:38]) if asks else (frame[28:32], b"")
        else:
            mac, asks, claimed = frame[6:12], frame[54] == NEIGHBOUR_SOLICITATION, frame[62:78]
            rank = frame[88:94] if asks else b""
        address = self._watched.get(claimed)
        if address is None or (asks and not any(rank)):
            return None
        return Claim(address, mac, solicited=not asks and frame[:6] == self._mac, rank=rank)
