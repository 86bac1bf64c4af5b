"""Asks the segment who has an address, without claiming it: whoever has it answers, and nobody's cache changes.

Source: RFC 5227 section 2.1.1 (ARP probe: the sender's address is zero), RFC 4862 section 5.4.2 (neighbour
solicitation from the unspecified address), RFC 4291 section 2.7.1 (solicited-node address). The answers are what
`ClaimWatch` hears.
"""

import socket
import struct
from ipaddress import IPv4Address, IPv6Address

from carpsidecar.linux.frames import BROADCAST_MAC, ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, internet_checksum
from carpsidecar.linux.netlink import IPAddress

_ICMPV6, _NEIGHBOUR_SOLICITATION = 58, 135


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

    def ask(self, address: IPAddress) -> None:
        """Raises: OSError where it could not be sent."""
        if isinstance(address, IPv4Address):
            self._socket.send(arp_probe(self._mac, address))
        else:
            self._socket.send(neighbour_solicitation(self._mac, address))

    def close(self) -> None:
        self._socket.close()


def arp_probe(mac: bytes, address: IPv4Address) -> bytes:
    body = struct.pack(">HHBBH6s4s6s4s", 1, ETH_P_IP, 6, 4, 1, mac, bytes(4), bytes(6), address.packed)
    return BROADCAST_MAC + mac + struct.pack(">H", ETH_P_ARP) + body


def neighbour_solicitation(mac: bytes, address: IPv6Address) -> bytes:
    last = address.packed[-3:]
    destination = IPv6Address("ff02::1:ff00:0").packed[:-3] + last
    body = struct.pack(">BBHI16s", _NEIGHBOUR_SOLICITATION, 0, 0, 0, address.packed)
    pseudo_header = bytes(16) + destination + struct.pack(">II", len(body), _ICMPV6)
    body = body[:2] + struct.pack(">H", internet_checksum(pseudo_header + body)) + body[4:]
    header = struct.pack(">IHBB16s16s", 6 << 28, len(body), _ICMPV6, 255, bytes(16), destination)
    return b"\x33\x33\xff" + last + mac + struct.pack(">H", ETH_P_IPV6) + header + body
