"""nftables by netlink: messages, and transactions over a socket that never waits.

Source: linux/netfilter/nf_tables.h, linux/netfilter/nfnetlink.h, net/netfilter/nfnetlink.c (a batch is one
transaction), net/netfilter/nf_tables_api.c. A transaction takes the lock of this namespace's rules, and not RTNL.

pyroute2 has classes for these messages. By hand, because the timeouts of all addresses are renewed again and again:
a thousand take 0.6 ms to encode, with pyroute2 50; and because its classes share a module with its sockets, which
takes 27 ms and 3.8 MB more to import.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from carpsidecar.linux.netlink import refusal
from carpsidecar.linux.rtnetlink import (
    HEADER,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    attribute,
    attributes,
    split,
)

NETLINK_NETFILTER = 12
INET, ARP = 1, 3
ARP_INPUT, ARP_OUTPUT, INET_INPUT, INET_OUTPUT = 0, 1, 1, 3

NEWTABLE, GETTABLE, DELTABLE, NEWCHAIN, DELCHAIN, NEWRULE, DELRULE = 0, 1, 2, 3, 5, 6, 8
NEWSET, DELSET, NEWSETELEM, GETSETELEM, DELSETELEM = 9, 11, 12, 13, 14
SUBSYSTEM = 10

_BATCH_BEGIN, _BATCH_END = 16, 17
_NESTED = 0x8000
_TYPE_MASK = 0x3FFF
_SET_HAS_TIMEOUTS = 0x10
_KEY, _TIMEOUT, _EXPIRATION = 1, 4, 5
_SOL_SOCKET_SNDBUFFORCE, _SOL_SOCKET_RCVBUFFORCE = 32, 33
_BUFFER_BYTES = 4 << 20
_ELEMENTS_MAX = 500
"""In one message: the length of an attribute has 16 bits."""
_DATAGRAM_MAX = 1 << 16

_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_VERDICT, _REGISTER = 0, 1
_META_NFPROTO, _META_L4PROTO = 15, 16
_DROP = 0
_REJECT_TCP_RESET, _REJECT_EITHER, _PORT_UNREACHABLE = 1, 2, 1
_CT_STATE = 0
ESTABLISHED, RELATED = 2, 4


class Message(NamedTuple):
    """One step of a transaction, and what it is about, for the error that names it."""

    kind: int
    family: int
    about: str
    body: bytes
    flags: int = 0


class Nftables:
    """Args: port: the netlink port to bind to, so that others see that we live; 0 for any."""

    def __init__(self, port: int = 0) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        try:
            self._socket = socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER)
        except OSError as error:
            raise OSError(error.errno, "the kernel has no nftables (CONFIG_NF_TABLES)") from None
        try:
            self._socket.bind((port, 0))
            for option in (_SOL_SOCKET_SNDBUFFORCE, _SOL_SOCKET_RCVBUFFORCE):
                with suppress(OSError):  # for a thousand addresses at once; needs CAP_NET_ADMIN
                    self._socket.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
        except OSError:
            self._socket.close()
            raise

    def close(self) -> None:
        self._socket.close()

    def commit(self, messages: Sequence[Message]) -> None:
        """All of it or nothing.

        Raises:
            OSError: the kernel refused; its text says which step, and what the kernel lacks.
        """
        batch = [_framed(_BATCH_BEGIN, 0, 0, 0, SUBSYSTEM)]
        batch += [
            _framed(SUBSYSTEM << 8 | message.kind, message.flags, position, message.family, 0) + message.body
            for position, message in enumerate(messages, start=1)
        ]
        batch.append(_framed(_BATCH_END, 0, 0, 0, SUBSYSTEM))
        self._socket.send(b"".join(map(_with_length, batch)))
        for kind, _flags, position, answer in self._answers():
            if kind == NLMSG_ERROR:
                number, reason = refusal(answer)
                if number:
                    about = messages[position - 1].about if 0 < position <= len(messages) else "nftables"
                    raise OSError(number, _refused(about, number, reason))

    def tables(self) -> list[tuple[int, str]]:
        """Family and name of each."""
        found = []
        for kind, message in self._dump(GETTABLE, 0, b""):
            if kind == SUBSYSTEM << 8 | NEWTABLE:
                for which, value in attributes(message, HEADER.size + 4):
                    if which == 1:
                        found.append((message[HEADER.size], _text(value)))
        return found

    def elements(self, family: int, table: str, name: str) -> dict[bytes, int | None]:
        """The live elements of a set, each with the milliseconds that it has left; None: for ever."""
        found: dict[bytes, int | None] = {}
        for _kind, message in self._dump(GETSETELEM, family, string(1, table) + string(2, name)):
            for which, listed in attributes(message, HEADER.size + 4):
                if which & _TYPE_MASK == 3:
                    for _, element in attributes(listed, 0):
                        parts = {kind & _TYPE_MASK: value for kind, value in attributes(element, 0)}
                        key = next(value for _, value in attributes(parts[_KEY], 0))
                        left = parts.get(_EXPIRATION)
                        found[key] = None if left is None else int.from_bytes(left, "big")
        return found

    def _dump(self, kind: int, family: int, body: bytes) -> list[tuple[int, bytes]]:
        request = _framed(SUBSYSTEM << 8 | kind, NLM_F_DUMP, 0, family, 0) + body
        self._socket.send(_with_length(request))
        messages = []
        for answer, _flags, _sequence, message in self._answers():
            if answer == NLMSG_ERROR:
                number, reason = refusal(message)
                raise OSError(number, _refused("nftables", number, reason))
            messages.append((answer, message))
        return messages

    def _answers(self) -> list[tuple[int, int, int, bytes]]:
        answers: list[tuple[int, int, int, bytes]] = []
        while True:
            try:
                answers += split(self._socket.recv(_DATAGRAM_MAX))
            except BlockingIOError:
                return answers
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise


def is_bound(port: int) -> bool:
    """Whether a socket of this namespace has this port: its process lives."""
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER) as sock:
        try:
            sock.bind((port, 0))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
            raise
    return False


def table(family: int, name: str) -> list[Message]:
    """An empty table, whatever was there before."""
    there = Message(NEWTABLE, family, f"a table of family {_family(family)}", string(1, name), NLM_F_CREATE)
    return [there, without_table(family, name), there]


def without_table(family: int, name: str) -> Message:
    return Message(DELTABLE, family, f"deleting table {name}", string(1, name))


def chain(family: int, table: str, name: str, hook: int, priority: int) -> Message:
    body = string(1, table) + string(3, name) + nested(4, number(1, hook) + number(2, priority & 0xFFFFFFFF))
    about = f"a chain at {name} of family {_family(family)}"
    return Message(NEWCHAIN, family, about, body + string(7, "filter"), NLM_F_CREATE)


def address_set(family: int, table: str, name: str, version: int, identity: int) -> Message:
    """A set of addresses with timeouts. `identity` tells the sets of one transaction from each other."""
    kind, length = (7, 4) if version == 4 else (8, 16)
    body = string(1, table) + string(2, name) + number(3, _SET_HAS_TIMEOUTS)
    body += number(4, kind) + number(5, length) + number(10, identity)
    return Message(NEWSET, family, "a set with timeouts", body, NLM_F_CREATE)


def put(family: int, table: str, name: str, keys: Iterable[bytes], timeout_ms: int | None) -> list[Message]:
    """Elements that are there already get this timeout only where the kernel updates them (from 6.12 on)."""
    times = b""
    if timeout_ms is not None:
        times = attribute(_TIMEOUT, timeout_ms.to_bytes(8, "big")) + attribute(
            _EXPIRATION, timeout_ms.to_bytes(8, "big")
        )
    return _elements(NEWSETELEM, NLM_F_CREATE, family, table, name, keys, times)


def take(family: int, table: str, name: str, keys: Iterable[bytes]) -> list[Message]:
    """Elements that must be there."""
    return _elements(DELSETELEM, 0, family, table, name, keys, b"")


def rule(family: int, table: str, chain: str, *expressions: bytes) -> Message:
    """What all expressions match goes the way that the last one says."""
    listed = b"".join(nested(1, part) for part in expressions)
    body = string(1, table) + string(2, chain) + nested(4, listed)
    about = f"a rule in family {_family(family)}"
    return Message(NEWRULE, family, about, body, NLM_F_CREATE | 0x800)  # NLM_F_APPEND


def drop() -> bytes:
    return expression("immediate", number(1, _VERDICT) + nested(2, nested(2, number(1, _DROP))))


def reset() -> bytes:
    """Of TCP."""
    return expression("reject", number(1, _REJECT_TCP_RESET))


def refuse() -> bytes:
    """As a port that nobody listens at, in either family."""
    return expression("reject", number(1, _REJECT_EITHER) + attribute(2, bytes([_PORT_UNREACHABLE])))


def has_no_state(bits: int) -> tuple[bytes, bytes, bytes]:
    """Of a packet in connection tracking."""
    state = expression("ct", number(1, _REGISTER) + number(2, _CT_STATE))
    mask, none = (nested(kind, attribute(1, struct.pack("=I", value))) for kind, value in ((4, bits), (5, 0)))
    masked = expression("bitwise", number(1, _REGISTER) + number(2, _REGISTER) + number(3, 4) + mask + none)
    return state, masked, equal(bytes(4))


def is_family(version: int) -> tuple[bytes, bytes]:
    return meta(_META_NFPROTO), equal(bytes([2 if version == 4 else 10]))


def is_protocol(protocol: int) -> tuple[bytes, bytes]:
    return meta(_META_L4PROTO), equal(bytes([protocol]))


def is_no_protocol(protocol: int) -> tuple[bytes, bytes]:
    return meta(_META_L4PROTO), differs(bytes([protocol]))


def network(offset: int, length: int) -> bytes:
    return _payload(_NETWORK_HEADER, offset, length)


def transport(offset: int, length: int) -> bytes:
    return _payload(_TRANSPORT_HEADER, offset, length)


def meta(key: int) -> bytes:
    return expression("meta", number(1, _REGISTER) + number(2, key))


def equal(value: bytes) -> bytes:
    return expression("cmp", number(1, _REGISTER) + number(2, 0) + nested(3, attribute(1, value)))


def differs(value: bytes) -> bytes:
    return expression("cmp", number(1, _REGISTER) + number(2, 1) + nested(3, attribute(1, value)))


def member(name: str) -> bytes:
    return expression("lookup", string(1, name) + number(2, _REGISTER))


def no_member(name: str) -> bytes:
    return expression("lookup", string(1, name) + number(2, _REGISTER) + number(5, 1))


def _payload(base: int, offset: int, length: int) -> bytes:
    return expression("payload", number(1, _REGISTER) + number(2, base) + number(3, offset) + number(4, length))


def expression(name: str, data: bytes) -> bytes:
    return string(1, name) + nested(2, data)


def nested(kind: int, value: bytes) -> bytes:
    return attribute(kind | _NESTED, value)


def string(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


def _elements(
    kind: int, flags: int, family: int, table: str, name: str, keys: Iterable[bytes], times: bytes
) -> list[Message]:
    listed = [nested(1, nested(_KEY, attribute(1, key)) + times) for key in keys]
    head = string(1, table) + string(2, name)
    return [
        Message(kind, family, "an element with a timeout", head + nested(3, b"".join(part)), flags)
        for part in (listed[start : start + _ELEMENTS_MAX] for start in range(0, len(listed), _ELEMENTS_MAX))
    ]


def _framed(kind: int, flags: int, sequence: int, family: int, resource: int) -> bytes:
    """The headers; the length is filled in when the body is known."""
    return HEADER.pack(0, kind, NLM_F_REQUEST | flags, sequence, 0) + struct.pack(">BBH", family, 0, resource)


def _with_length(message: bytes) -> bytes:
    return struct.pack("=I", len(message)) + message[4:]


def _family(family: int) -> str:
    return {INET: "inet", ARP: "arp"}.get(family, str(family))


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")


def _refused(about: str, number: int, reason: str) -> str:
    if number == errno.EPERM:
        return "nftables needs CAP_NET_ADMIN"
    lacking = {errno.EOPNOTSUPP, errno.EAFNOSUPPORT, errno.ENOENT, errno.EPROTONOSUPPORT}
    hint = ": this kernel may lack it" if number in lacking else ""
    return f"nftables refused {about}: {os.strerror(number)}{f' ({reason})' if reason else ''}{hint}"
