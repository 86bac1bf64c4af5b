"""Asks the segment who has an address, without claiming it: whoever has it answers, and nobody's cache is misled.

Source: RFC 5227 section 2.1.1 (ARP probe), RFC 4861 section 4.3, RFC 4862 section 5.4.3, RFC 4291 section 2.7.1
(solicited-node address); arp_process in net/ipv4/arp.c, ndisc_recv_ns in net/ipv6/ndisc.c. The answers are claims,
and what `ClaimWatch` hears: it has to watch these addresses before they are asked for.

ARP is asked from the address 0.0.0.0, as every stack does that looks for duplicates. No cache learns from that, and
Linux answers it whatever arp_filter, rp_filter and routes say, and with arp_ignore 1 and 2. A neighbour
solicitation comes from an address of ours: from the unspecified one it would be answered to all nodes, and a node
that just takes the address would give it up, because that is how it learns of a duplicate.

Whoever asks because it is about to take the address says so by a rank: in the target hardware address of an ARP
probe, which every receiver ignores, and as the nonce (RFC 3971 section 5.3.2, six bytes as in RFC 7527) of a
neighbour solicitation. That one goes to all nodes as well: who does not have the address has not joined its group.
"""

import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from carpsidecar.linux.frames import (
    BROADCAST_MAC,
    ETH_P_ARP,
    ETH_P_IP,
    ETH_P_IPV6,
    NEIGHBOUR_SOLICITATION,
    internet_checksum,
)
from carpsidecar.linux.netlink import IPAddress

_ICMPV6, _SOURCE_LINK_LAYER_ADDRESS, _NONCE = 58, 1, 14
_UNSPECIFIED = IPv6Address("::")
_ALL_NODES = IPv6Address("ff02::1")
RANK_SIZE = 6


class Prober:
    """Raises: OSError where the interface is gone or CAP_NET_RAW is missing."""

    def __init__(self, interface: str, mac: bytes) -> None:
        self._mac = mac
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_PACKET, kind, 0)  # protocol 0 receives nothing
        try:
            self._socket.bind((interface, 0))
        except OSError:
            self._socket.close()
            raise

    def ask(self, addresses: Iterable[IPAddress], source: IPv6Address | None = None, rank: bytes = b"") -> None:
        """Ask once for each, 6 µs apiece.

        Args:
            source: a link-local address of this interface, to ask for IPv6 addresses from.
            rank: RANK_SIZE bytes, for others who are about to take one of them as well.

        Raises:
            OSError: not all could be sent; the others were.
        """
        failure: OSError | None = None
        for address in addresses:
            if isinstance(address, IPv4Address):
                frames = [arp_probe(self._mac, address, rank)]
            else:
                frames = [neighbour_solicitation(self._mac, address, source or _UNSPECIFIED, rank)]
                if rank and source is not None:
                    frames.append(neighbour_solicitation(self._mac, address, source, rank, _ALL_NODES))
            try:
                for frame in frames:
                    self._socket.send(frame)
            except OSError as error:
                failure = error
        if failure is not None:
            raise failure

    def close(self) -> None:
        self._socket.close()


def arp_probe(mac: bytes, address: IPv4Address, rank: bytes = b"") -> bytes:
    body = struct.pack(">HHBBH6s4s6s4s", 1, ETH_P_IP, 6, 4, 1, mac, bytes(4), rank, address.packed)
    return BROADCAST_MAC + mac + struct.pack(">H", ETH_P_ARP) + body


def neighbour_solicitation(
    mac: bytes,
    address: IPv6Address,
    source: IPv6Address = _UNSPECIFIED,
    rank: bytes = b"",
    to: IPv6Address | None = None,
) -> bytes:
    """`to`: the solicited-node group of the address unless given."""
    solicited_node = IPv6Address("ff02::1:ff00:0").packed[:-3] + address.packed[-3:]
    destination = solicited_node if to is None else to.packed
    body = struct.pack(">BBHI16s", NEIGHBOUR_SOLICITATION, 0, 0, 0, address.packed)
    if source != _UNSPECIFIED:
        body += struct.pack(">BB6s", _SOURCE_LINK_LAYER_ADDRESS, 1, mac)
        if rank:
            body += struct.pack(">BB6s", _NONCE, 1, rank)
    pseudo_header = source.packed + destination + struct.pack(">II", len(body), _ICMPV6)
    body = body[:2] + struct.pack(">H", internet_checksum(pseudo_header + body)) + body[4:]
    header = struct.pack(">IHBB16s16s", 6 << 28, len(body), _ICMPV6, 255, source.packed, destination)
    return b"\x33\x33" + destination[-4:] + mac + struct.pack(">H", ETH_P_IPV6) + header + body
