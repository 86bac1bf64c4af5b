"""The segment as a machine sees it that reads and sends raw frames: what passes by, and when its kernel saw it.

Written from the RFCs and not with carpsidecar's own code, which is what is tested with it.
"""

import itertools
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import TracebackType
from typing import Self

from carpsidecar.lab.namespace import run_in
from carpsidecar.lab.node import Node

_ETH_P_ALL = 0x0003
_IPV4, _ARP, _IPV6 = b"\x08\x00", b"\x08\x06", b"\x86\xdd"
_CARP, _ICMPV6, _NEIGHBOUR_ADVERTISEMENT = 112, 58, 136
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23
_SO_TIMESTAMPNS, _SO_RCVBUFFORCE = 35, 33
_TIMESPEC = struct.Struct("=qq")
_BUFFER_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Frame:
    """The `number`-th that was heard, from 1 on; `at_s` is of time.time()."""

    number: int
    at_s: float
    data: bytes

    @property
    def source(self) -> IPv4Address | IPv6Address | None:
        """The sender of an IP packet."""
        if self.data[12:14] == _IPV4:
            return IPv4Address(self.data[26:30])
        if self.data[12:14] == _IPV6:
            return IPv6Address(self.data[22:38])
        return None

    @property
    def payload(self) -> bytes:
        """What a packet of protocol 112 carries; of any other frame nothing."""
        if self.data[12:14] == _IPV4 and self.data[23] == _CARP:
            return self.data[34 : 14 + int.from_bytes(self.data[16:18])]
        if self.data[12:14] == _IPV6 and self.data[20] == _CARP:
            return self.data[54 : 54 + int.from_bytes(self.data[18:20])]
        return b""

    @property
    def vhid(self) -> int:
        return self.payload[1]

    @property
    def advskew(self) -> int:
        return self.payload[2]

    @property
    def is_bow_out(self) -> bool:
        return self.payload[5:6] + self.payload[2:3] == b"\xff\xff"


class Tap:
    """Listens at eth0 of a node from the moment it is made; its kernel keeps what arrives while nobody reads."""

    def __init__(self, node: Node) -> None:
        self._heard: list[Frame] = []
        self._socket = run_in(node.ns, _open)
        self.mac: bytes = self._socket.getsockname()[4]

    def send(self, frame: bytes) -> None:
        self._socket.send(frame)

    @property
    def heard(self) -> list[Frame]:
        """Everything up to now, in order."""
        while select.select([self._socket], [], [], 0)[0]:
            self._read()
        return list(self._heard)

    @property
    def advertisements(self) -> list[Frame]:
        return [frame for frame in self.heard if frame.payload]

    def mark(self) -> int:
        """For `after`: take it before that is done whose effect is waited for."""
        return len(self.heard)

    def wait_for(self, wanted: Callable[[Frame], bool], within_s: float, after: int = 0) -> Frame:
        """The first frame that is wanted; only those `after` that number count."""
        deadline = time.monotonic() + within_s
        while True:
            for frame in self._heard[after:]:
                if wanted(frame):
                    return frame
            after = max(after, len(self._heard))
            left_s = max(0.0, deadline - time.monotonic())
            if not select.select([self._socket], [], [], left_s)[0]:
                raise TimeoutError(f"not heard within {within_s} s; last: {self._heard[-5:]}")
            self._read()

    def wait_for_more(self, count: int, vhid: int, within_s: float) -> list[Frame]:
        """The next so many advertisements of a group: its own clock."""
        found: list[Frame] = []
        after = self.mark()
        while len(found) < count:
            found.append(self.wait_for(advertises(vhid=vhid), within_s, after))
            after = found[-1].number
        return found

    def longest_gap_s(self, vhid: int) -> float:
        """The longest time between two advertisements of the group."""
        times = [frame.at_s for frame in self.advertisements if frame.vhid == vhid]
        assert len(times) > 1, f"vhid {vhid} was heard {len(times)} times"
        return max(later - earlier for earlier, later in itertools.pairwise(times))

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> None:
        data, control, _, _ = self._socket.recvmsg(2048, 128)
        seconds, nanoseconds = _TIMESPEC.unpack(control[0][2])
        self._heard.append(Frame(len(self._heard) + 1, seconds + nanoseconds / 1e9, data))


def advertises(
    source: object = None, *, vhid: int | None = None, advskew: int | None = None
) -> Callable[[Frame], bool]:
    """An advertisement, with those of these facts that are given."""
    sender = None if source is None else ip_address(str(source))
    return lambda frame: (
        bool(frame.payload)
        and sender in (None, frame.source)
        and vhid in (None, frame.vhid)
        and advskew in (None, frame.advskew)
    )


def bows_out(vhid: int) -> Callable[[Frame], bool]:
    return lambda frame: frame.is_bow_out and frame.vhid == vhid


def announces(ip: str, mac: str) -> Callable[[Frame], bool]:
    """A gratuitous ARP or neighbour advertisement by which this MAC claims the address."""
    raw, hardware = ip_address(ip).packed, bytes.fromhex(mac.replace(":", ""))

    def is_it(frame: Frame) -> bool:
        data = frame.data
        if len(raw) == 4:
            return data[12:14] == _ARP and data[22:32] == hardware + raw and data[38:42] == raw
        kind = (data[6:14], data[20], data[54:55])
        return kind == (hardware + _IPV6, _ICMPV6, bytes([_NEIGHBOUR_ADVERTISEMENT])) and data[62:78] == raw

    return is_it


def _open() -> socket.socket:
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    tap.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    tap.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    tap.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    tap.bind(("eth0", _ETH_P_ALL))
    return tap
