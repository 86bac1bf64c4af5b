"""Tells the segment which MAC answers for an address now: gratuitous ARP and unsolicited neighbour advertisements.

Source: RFC 5227, RFC 4861 section 7.2.6, packet(7), net/packet/af_packet.c.
"""

import errno
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

from carpsidecar.linux.frames import gratuitous_arp, neighbour_advertisement
from carpsidecar.linux.netlink import IPAddress

_SO_SNDBUFFORCE = 32
# Two frames for each of a thousand addresses, at the kernel's price of about a kilobyte a frame.
_BUFFER_BYTES = 4 << 20


ANSWER_FRAMES_PER_S = 400
"""Whoever claims our addresses, or plays recorded advertisements again, makes us announce. With hundreds of
addresses one frame of his would become hundreds of ours, again and again."""


class AnnounceError(OSError):
    """Some frames did not go out."""


class Announcer:
    def __init__(self, index: int, mac: bytes, name: str) -> None:
        if len(mac) != 6:
            raise AnnounceError(errno.EINVAL, f"{name} has no Ethernet address: nothing can be announced there")
        self._index = index
        self._mac = mac
        self._name = name
        self._frames: dict[tuple[IPAddress, bool], list[bytes]] = {}
        self._answers_left = float(ANSWER_FRAMES_PER_S)
        self._answered_at = 0.0
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_PACKET, kind, 0)  # protocol 0 receives nothing
        try:
            with suppress(OSError):  # beyond net.core.wmem_max only with CAP_NET_ADMIN
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER_BYTES)
            self._socket.bind((socket.if_indextoname(index), 0))
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def announce(self, addresses: Sequence[IPAddress]) -> None:
        """Announce every address once. Tries all of them, then raises if some did not go out."""
        router = any(address.version == 6 for address in addresses) and self._forwards_ipv6()
        failed = 0
        first: OSError | None = None
        for address in addresses:
            for frame in self._frames_of(address, router):
                try:
                    self._socket.send(frame)
                except OSError as error:
                    failed += 1
                    first = first or error
        if first is not None:
            number = first.errno or 0
            text = f"{failed} announcements did not go out on {self._name}: {os.strerror(number)}"
            raise AnnounceError(number, text)

    def answer(self, addresses: Sequence[IPAddress], now: float) -> Sequence[IPAddress]:
        """Announce because of what another machine sent: at most ANSWER_FRAMES_PER_S frames a second, of all groups
        of this interface together.

        Returns:
            The addresses for which none was left: to be announced later.
        """
        left = self._answers_left + (now - self._answered_at) * ANSWER_FRAMES_PER_S
        left = min(left, ANSWER_FRAMES_PER_S)
        self._answered_at = now
        count = 0
        for address in addresses:
            frames = 2 if address.version == 4 else 1
            if frames > left:
                break
            left -= frames
            count += 1
        self._answers_left = left
        self.announce(addresses[:count])
        return addresses[count:]

    def _frames_of(self, address: IPAddress, router: bool) -> list[bytes]:
        """Kept for as long as the announcer lives; there are no more of them than configured addresses."""
        key = (address, router)
        frames = self._frames.get(key)
        if frames is None:
            if isinstance(address, IPv4Address):
                frames = gratuitous_arp(self._mac, address)
            else:
                frames = [neighbour_advertisement(self._mac, address, router)]
            self._frames[key] = frames
        return frames

    def _forwards_ipv6(self) -> bool:
        """The router flag must tell the truth: hosts drop a default router that advertises itself as none."""
        try:
            name = socket.if_indextoname(self._index)
            return Path(f"/proc/sys/net/ipv6/conf/{name}/forwarding").read_text().strip() != "0"
        except OSError:
            return False
