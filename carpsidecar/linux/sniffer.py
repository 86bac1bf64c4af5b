"""Reads every packet of protocol 112 off an interface, what this machine sends included, before any firewall.

Source: packet(7), Documentation/networking/filter.rst, net/core/dev.c (taps come before netfilter and ingress
filters), libpcap's pcap-linux.c (a VLAN tag that the kernel took off is put back). It needs CAP_NET_RAW while it is
opened, and nothing afterwards.
"""

import errno
import os
import socket
import struct
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from carpsidecar.linux.carp_socket import PROTOCOL_CARP
from carpsidecar.linux.netlink import IPAddress
from carpsidecar.linux.packet_filter import Step, answer, assemble, attach, byte, unless, when, word

ARPHRD_ETHER, ARPHRD_LOOPBACK = 1, 772
PACKET_OUTGOING = 4

_ETH_P_ALL, _ETH_P_IP, _ETH_P_IPV6, _ETH_P_8021Q, _ETH_P_8021AD = 0x0003, 0x0800, 0x86DD, 0x8100, 0x88A8
_NET_OFF, _AD_PROTOCOL = 0x100000000 - 0x100000, 0x100000000 - 0x1000
_TAKE_ALL, _REFUSE = 0xFFFFFFFF, 0
_SOL_PACKET, _PACKET_STATISTICS, _PACKET_AUXDATA = 263, 6, 8
_SO_TIMESTAMPNS = 35
_STATUS_VLAN_VALID, _STATUS_VLAN_TPID_VALID = 1 << 4, 1 << 6
_AUXDATA = struct.Struct("=IIIHHHH")
_TIMESPEC = struct.Struct("@qq" if sys.maxsize > 2**32 else "@ll")
_FRAME_MAX, _CONTROL_MAX = 65536, 256
_BUFFER_BYTES = 4 << 20


class Sniffed(NamedTuple):
    """A frame: its link header and all, or from the IP header on where the sniffer is `cooked`."""

    data: bytes
    length: int
    time_ns: int
    interface: str
    interface_index: int
    packet_type: int
    hardware: int
    protocol: int
    """EtherType; that of the VLAN tag where `data` begins with one."""
    mac: bytes


class Sniffer:
    """An open tap on one interface, or on all.

    Args:
        interface: None for all.
        groups: multicast groups to be a member of on that interface, so that card and switches let them through.

    Raises:
        OSError: there is no such interface, or no CAP_NET_RAW; its text says so.
    """

    def __init__(self, interface: str | None, groups: Sequence[IPAddress] = ()) -> None:
        self._interface = interface
        if interface is not None:
            index = _index_of(interface)
            self.cooked = _hardware_of(interface) not in (ARPHRD_ETHER, ARPHRD_LOOPBACK)
        else:
            self.cooked = True
        kind = (socket.SOCK_DGRAM if self.cooked else socket.SOCK_RAW) | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        try:
            # On all interfaces it listens before the filter is there: whoever reads must look twice anyway.
            protocol = 0 if interface is not None else socket.htons(_ETH_P_ALL)
            self._socket = socket.socket(socket.AF_PACKET, kind, protocol)
        except PermissionError as error:
            raise OSError(error.errno, "no right to listen: CAP_NET_RAW is needed: run it as root") from None
        self._memberships: list[socket.socket] = []
        try:
            attach(self._socket, protocol_112())
            for level, option in ((_SOL_PACKET, _PACKET_AUXDATA), (socket.SOL_SOCKET, _SO_TIMESTAMPNS)):
                self._socket.setsockopt(level, option, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            if interface is not None:
                self._socket.bind((interface, _ETH_P_ALL))
                for group in groups:
                    self._join(group, index)
        except OSError:
            self.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        for sock in (self._socket, *self._memberships):
            sock.close()

    def receive(self) -> Sniffed | None:
        """The next frame; None where none lies ready.

        Raises:
            OSError: the interface is gone (ENODEV). That it went down is no error: it may come up again.
        """
        try:
            data, control, _flags, sender = self._socket.recvmsg(_FRAME_MAX, _CONTROL_MAX, socket.MSG_TRUNC)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno != errno.ENETDOWN:
                raise
            # The kernel says the same of one that went down and of one that has gone.
            if self._interface is not None:
                _index_of(self._interface)
            return None
        name, protocol, packet_type, hardware, address = sender
        time_ns, tag, tag_protocol, length = time.time_ns(), None, _ETH_P_8021Q, len(data)
        for level, kind, value in control:
            if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
                seconds, nanoseconds = _TIMESPEC.unpack(value[: _TIMESPEC.size])
                time_ns = seconds * 1_000_000_000 + nanoseconds
            elif (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
                status, length, _captured, _mac, _net, tci, tpid = _AUXDATA.unpack(value[: _AUXDATA.size])
                if status & _STATUS_VLAN_VALID:
                    tag = tci
                    tag_protocol = tpid if status & _STATUS_VLAN_TPID_VALID else _ETH_P_8021Q
        if tag is not None:
            length += 4
            if self.cooked:
                data = struct.pack("!HH", tag, protocol) + data
                protocol = tag_protocol
            else:
                data = data[:12] + struct.pack("!HH", tag_protocol, tag) + data[12:]
        index = 0
        with suppress(OSError):
            index = socket.if_nametoindex(name)
        return Sniffed(data, length, time_ns, name, index, packet_type, hardware, protocol, address)

    def lost(self) -> int:
        """How many found no room since last time."""
        counts = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        return int(struct.unpack("=II", counts)[1])

    def _join(self, group: IPAddress, index: int) -> None:
        family = socket.AF_INET if group.version == 4 else socket.AF_INET6
        with suppress(OSError):  # the family is switched off, or the interface has no multicast
            sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._memberships.append(sock)
            if group.version == 4:
                value = struct.pack("=4s4si", group.packed, b"", index)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, value)
            else:
                value = struct.pack("=16si", group.packed, index)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, value)


def protocol_112() -> bytes:
    """Takes protocol 112 of either family on any kind of link, also behind one tag more than the kernel strips."""
    at_ip, behind_tag = _NET_OFF, _NET_OFF + 4
    return assemble(
        [
            word(_AD_PROTOCOL), when(_ETH_P_IP, "ipv4"), when(_ETH_P_IPV6, "ipv6"),
            when(_ETH_P_8021Q, "tagged"), unless(_ETH_P_8021AD, "other"),
            # The network header may begin with the tag or behind it: what does not fit is sorted out later.
            "tagged", *_is_112(at_ip + 9), *_is_112(at_ip + 6), *_is_112(behind_tag + 9), *_is_112(behind_tag + 6),
            answer(_REFUSE),
            "ipv4", byte(at_ip + 9), when(PROTOCOL_CARP, "take"), answer(_REFUSE),
            "ipv6", byte(at_ip + 6), when(PROTOCOL_CARP, "take"),
            "other", answer(_REFUSE),
            "take", answer(_TAKE_ALL),
        ]
    )  # fmt: skip


def _is_112(offset: int) -> list[Step]:
    return [byte(offset), when(PROTOCOL_CARP, "take")]


def _index_of(interface: str) -> int:
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        raise OSError(errno.ENODEV, f"there is no interface {interface!r}: see `ip link`") from None


def _hardware_of(interface: str) -> int:
    """The kind of link, as linux/if_arp.h numbers them (SIOCGIFHWADDR, netdevice(7))."""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            answered = fcntl.ioctl(sock, 0x8927, struct.pack("16s24x", os.fsencode(interface)))
        except OSError:
            return ARPHRD_ETHER
    return int(struct.unpack_from("=H", answered, 16)[0])
