"""Frames as they are heard now, in the form that a file has."""

import select
import struct
from collections.abc import Iterator
from ipaddress import ip_address

from carpsidecar.capture.pcap import Frame, LinkType
from carpsidecar.linux.sniffer import PACKET_OUTGOING, Sniffed, Sniffer
from carpsidecar.protocol.packet import CARP_GROUP_IPV4, CARP_GROUP_IPV6, IPAddress

DEFAULT_GROUPS: tuple[IPAddress, ...] = (ip_address(CARP_GROUP_IPV4), ip_address(CARP_GROUP_IPV6))


class LiveSource:
    """What is heard on an interface, or on all, from now on.

    Raises:
        OSError: as Sniffer.
    """

    def __init__(self, interface: str | None) -> None:
        self._sniffer = Sniffer(interface, DEFAULT_GROUPS)
        self.link_type = LinkType.LINUX_SLL2 if self._sniffer.cooked else LinkType.ETHERNET

    def frames(self) -> Iterator[Frame]:
        """Without an end. Raises: OSError where the interface has gone."""
        while True:
            sniffed = self._sniffer.receive()
            if sniffed is None:
                select.select([self._sniffer], [], [])
            else:
                yield frame_of(sniffed, self._sniffer.cooked)

    def lost(self) -> int:
        """How many frames found no room since last time."""
        return self._sniffer.lost()

    def close(self) -> None:
        self._sniffer.close()


def frame_of(sniffed: Sniffed, cooked: bool) -> Frame:
    """What a sniffer heard, with a Linux cooked header where it has no Ethernet header of its own."""
    outgoing = sniffed.packet_type == PACKET_OUTGOING
    if not cooked:
        return Frame(sniffed.time_ns, LinkType.ETHERNET, sniffed.data, sniffed.length, sniffed.interface, outgoing)
    head = struct.pack(
        "!HxxIHBB8s",
        sniffed.protocol,
        sniffed.interface_index,
        sniffed.hardware,
        sniffed.packet_type,
        min(len(sniffed.mac), 8),
        sniffed.mac[:8],
    )
    length = sniffed.length + len(head)
    return Frame(sniffed.time_ns, LinkType.LINUX_SLL2, head + sniffed.data, length, sniffed.interface, outgoing)
