"""Questions to the kernel and orders to it, over one rtnetlink socket that never waits.

Source: netlink(7), rtnetlink(7), net/netlink/af_netlink.c. The kernel works rtnetlink requests off inside send(),
so the answer lies ready when send() returns, and a recv() that would block means that there is none.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

from carpsidecar.linux.rtnetlink import (
    HEADER,
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWROUTE,
    HeldAddress,
    IPAddress,
    IPInterface,
    Link,
    Route,
    address_alone,
    address_from,
    addresses_request,
    attributes,
    link_from,
    links_request,
    route_from,
    route_request,
    split,
)

__all__ = ["HeldAddress", "IPAddress", "IPInterface", "Link", "Netlink", "NetlinkError", "Route"]

_SOL_NETLINK, _EXT_ACK, _CAP_ACK, _GET_STRICT_CHK = 270, 11, 10, 12
_NLM_F_ACK_TLVS = 0x200
_NLMSGERR_ATTR_MSG = 1
_DATAGRAM_MAX = 65536
_DUMP_ATTEMPTS = 5
# The kernel answers every message that fails, and the answers must fit the receive buffer.
_SLICE = 8192
_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL, errno.EAGAIN}


class NetlinkError(OSError):
    """The kernel refused; `failures` holds sequence number, errno and the kernel's reason for each refusal."""

    def __init__(self, number: int, text: str, failures: tuple[tuple[int, int, str], ...] = ()) -> None:
        super().__init__(number, text)
        self.failures = failures


class Netlink:
    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        for option in (_EXT_ACK, _CAP_ACK, _GET_STRICT_CHK):
            with suppress(OSError):  # each is a refinement that older kernels lack
                self._socket.setsockopt(_SOL_NETLINK, option, 1)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def links(self) -> list[Link]:
        return [link_from(message) for kind, message in self._dump(links_request()) if kind == RTM_NEWLINK]

    def addresses(self, index: int | None = None) -> list[HeldAddress]:
        """The addresses of one interface, or of all; none for an interface that is not there."""
        return [address for address, _message in self.address_messages(index)]

    def address_messages(self, index: int | None = None) -> list[tuple[HeldAddress, bytes]]:
        """The same in the kernel's order, each with the message that reports it."""
        try:
            answer = self._dump(addresses_request(index))
        except NetlinkError as error:
            if index is not None and error.errno == errno.ENODEV:
                return []
            raise
        reported = [(address_from(message), message) for kind, message in answer if kind == RTM_NEWADDR]
        # A kernel without strict checks gives those of all interfaces.
        return [(address, message) for address, message in reported if index in (None, address.index)]

    def held(self) -> dict[int, set[IPAddress]]:
        """The addresses of all interfaces by index, and nothing else of them: a tenth of the work."""
        found: dict[int, set[IPAddress]] = {}
        for kind, message in self._dump(addresses_request(None)):
            if kind == RTM_NEWADDR and (parsed := address_alone(message)) is not None:
                index, address = parsed
                found.setdefault(index, set()).add(address)
        return found

    def route(self, destination: IPAddress) -> Route | None:
        self._socket.send(route_request(destination))
        answer: Route | None = None
        for kind, _flags, sequence, message in self._answers():
            if kind == NLMSG_ERROR:
                number, reason = refusal(message)
                if number not in _UNREACHABLE:
                    raise NetlinkError(
                        number,
                        _refused(f"route to {destination}", number, reason),
                        ((sequence, number, reason),),
                    )
            elif kind == RTM_NEWROUTE:
                answer = route_from(message)
        return answer

    def execute(self, batch: bytes) -> None:
        """Carry out a batch of prepared messages, all of them, and raise for the first that failed."""
        failures: list[tuple[int, int, str]] = []
        for part in _slices(batch):
            self._socket.send(part)
            for kind, _flags, sequence, message in self._answers():
                if kind == NLMSG_ERROR:
                    number, reason = refusal(message)
                    if number:
                        failures.append((sequence, number, reason))
        if failures:
            _sequence, number, reason = failures[0]
            total = sum(1 for _ in split(batch))
            what = "netlink request" if total == 1 else f"{len(failures)} of {total} netlink requests"
            raise NetlinkError(number, _refused(what, number, reason), tuple(failures))

    def _dump(self, request: bytes) -> list[tuple[int, bytes]]:
        for _ in range(_DUMP_ATTEMPTS):
            self._socket.send(request)
            messages, interrupted = self._read_dump()
            if not interrupted:
                return messages
        raise NetlinkError(
            errno.EBUSY, f"links or addresses changed during each of {_DUMP_ATTEMPTS} readings: try again"
        )

    def _read_dump(self) -> tuple[list[tuple[int, bytes]], bool]:
        messages: list[tuple[int, bytes]] = []
        interrupted = done = False
        for kind, flags, sequence, message in self._answers():
            interrupted = interrupted or bool(flags & NLM_F_DUMP_INTR)
            if kind == NLMSG_DONE:
                done = True
            elif kind == NLMSG_ERROR:
                number, reason = refusal(message)
                raise NetlinkError(number, _refused("netlink dump", number, reason), ((sequence, number, reason),))
            else:
                messages.append((kind, message))
        return messages, interrupted or not done

    def _answers(self) -> list[tuple[int, int, int, bytes]]:
        """All that lies ready. Reading a dump makes the kernel write on, so this ends where the dump does."""
        answers: list[tuple[int, int, int, bytes]] = []
        while True:
            try:
                datagram = self._socket.recv(_DATAGRAM_MAX)
            except BlockingIOError:
                return answers
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # some answers were lost; those kept can still be read
                    raise
                continue
            answers.extend(split(datagram))


def _slices(batch: bytes) -> Iterator[bytes]:
    start = end = 0
    while end + HEADER.size <= len(batch):
        length = (HEADER.unpack_from(batch, end)[0] + 3) & ~3
        if end > start and end + length - start > _SLICE:
            yield batch[start:end]
            start = end
        end += max(length, HEADER.size)
    if start < len(batch):
        yield batch[start:]


def refusal(message: bytes) -> tuple[int, str]:
    """The errno (0 for a mere acknowledgement) and the reason that the kernel gives, if any."""
    number = -struct.unpack_from("=i", message, HEADER.size)[0]
    if HEADER.unpack_from(message)[2] & _NLM_F_ACK_TLVS:
        for kind, value in attributes(message, HEADER.size + 4 + HEADER.size):
            if kind == _NLMSGERR_ATTR_MSG:
                return number, value.rstrip(b"\0").decode(errors="replace")
    return number, ""


def _refused(what: str, number: int, reason: str) -> str:
    hint = ": CAP_NET_ADMIN is needed" if number == errno.EPERM else ""
    return f"{what} refused by the kernel: {os.strerror(number)}{f' ({reason})' if reason else ''}{hint}"
