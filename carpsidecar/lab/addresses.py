"""One namespace's view of one address, kept by the kernel's own messages (rtnetlink)."""

import contextlib
import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from carpsidecar.lab.namespace import run_in

_NLMSG_ERROR, _NLMSG_DONE, _RTM_NEWADDR, _RTM_DELADDR, _RTM_GETADDR = 2, 3, 20, 21, 22
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_RTMGRP_IPV4_IFADDR, _RTMGRP_IPV6_IFADDR = 0x10, 0x100
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_SO_RCVBUFFORCE = 33
_RECEIVE_BUFFER_BYTES = 8 << 20

_NLMSGHDR = struct.Struct("=IHHII")  # length, type, flags, sequence, pid
_IFADDRMSG = struct.Struct("=BBBBI")  # family, prefixlen, flags, scope, index
_RTATTR = struct.Struct("=HH")  # length, type


class AddressMonitor:
    """On which interfaces of the namespace the address is."""

    def __init__(self, namespace: str, address: IPv4Address | IPv6Address) -> None:
        self._family, group = (
            (socket.AF_INET, _RTMGRP_IPV4_IFADDR)
            if address.version == 4
            else (socket.AF_INET6, _RTMGRP_IPV6_IFADDR)
        )
        self._address = address.packed
        self._interfaces: set[int] = set()
        self._asking = False
        self._overrun = False
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
        self.socket = run_in(namespace, lambda: socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE))
        # So that a thousand addresses can come and go at once; a user namespace may not, and asks again instead.
        with contextlib.suppress(PermissionError):
            self.socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER_BYTES)
        self.socket.bind((0, group))
        self._ask_for_all()

    def read(self) -> list[bool]:
        """Take in what the kernel has said: whether the address is held, after each message that bears on it."""
        history: list[bool] = []
        while True:
            try:
                data = self.socket.recv(1 << 17)
            except BlockingIOError:
                # Not before the queue is empty: the kernel refuses to tell all to one whose queue is full.
                if self._overrun and not self._asking:
                    self._ask_for_all()
                return history
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._overrun = True
                continue
            for kind, body in _messages(data):
                self._take(kind, body)
                # Until all has been told, what we know is half of it.
                if not self._asking and not self._overrun:
                    history.append(bool(self._interfaces))

    def _take(self, kind: int, body: bytes) -> None:
        if kind == _NLMSG_ERROR:
            number = -int.from_bytes(body[:4], sys.byteorder, signed=True)
            if number != errno.ENOBUFS:
                raise OSError(number, f"rtnetlink: {os.strerror(number)}")
            self._asking, self._overrun = False, True
        elif kind == _NLMSG_DONE:
            self._asking = False
        elif self._address in body and self._address == _local_address(body):
            interface = _IFADDRMSG.unpack_from(body)[4]
            if kind == _RTM_NEWADDR:
                self._interfaces.add(interface)
            elif kind == _RTM_DELADDR:
                self._interfaces.discard(interface)

    def _ask_for_all(self) -> None:
        self._asking, self._overrun = True, False
        self._interfaces.clear()
        body = _IFADDRMSG.pack(self._family, 0, 0, 0, 0)
        flags = _NLM_F_REQUEST | _NLM_F_DUMP
        self.socket.send(_NLMSGHDR.pack(_NLMSGHDR.size + len(body), _RTM_GETADDR, flags, 1, 0) + body)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _NLMSGHDR.size <= len(data):
        length, kind, *_ = _NLMSGHDR.unpack_from(data, offset)
        yield kind, data[offset + _NLMSGHDR.size : offset + length]
        offset += (length + 3) & ~3


def _local_address(body: bytes) -> bytes | None:
    attributes: dict[int, bytes] = {}
    offset = _IFADDRMSG.size
    while offset + _RTATTR.size <= len(body):
        length, kind = _RTATTR.unpack_from(body, offset)
        attributes[kind] = body[offset + _RTATTR.size : offset + length]
        offset += (length + 3) & ~3
    # On a point-to-point address IFA_ADDRESS is the far end.
    return attributes.get(_IFA_LOCAL, attributes.get(_IFA_ADDRESS))
