"""What is said on the wire: every advertisement that reaches a node, with the time at which its kernel saw it."""

import itertools
import select
import socket
import struct
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from ipaddress import IPv4Address
from types import TracebackType
from typing import Self

from carpsidecar.lab.namespace import run_in
from carpsidecar.lab.node import Node
from carpsidecar.protocol.packet import CARP_PROTOCOL, CARP_SIZE, Advertisement, unpack

_ETH_P_IP = 0x0800
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("=qq")
_SO_RCVBUFFORCE = 33
_BUFFER_BYTES = 32 << 20


@dataclass(frozen=True)
class Heard:
    at_s: float
    source: IPv4Address
    packet: Advertisement

    @property
    def is_bow_out(self) -> bool:
        return (self.packet.advbase, self.packet.advskew) == (255, 255)


class Tap:
    """Listens at eth0 of a node from the moment it is made; the kernel keeps the times while nobody reads."""

    def __init__(self, node: Node) -> None:
        self._heard: list[Heard] = []
        self._socket = run_in(node.ns, self._open)

    @property
    def heard(self) -> list[Heard]:
        """Everything up to now, in order."""
        while select.select([self._socket], [], [], 0)[0]:
            self._read()
        return list(self._heard)

    def wait_for(self, wanted: Callable[[Heard], bool], within_s: float) -> Heard:
        """The first that is wanted of those that come from now on."""
        seen = len(self.heard)
        deadline = time.monotonic() + within_s
        while True:
            for heard in self._heard[seen:]:
                if wanted(heard):
                    return heard
            seen = len(self._heard)
            left_s = max(0.0, deadline - time.monotonic())
            if not select.select([self._socket], [], [], left_s)[0]:
                raise TimeoutError(f"not heard within {within_s} s; last: {self._heard[-5:]}")
            self._read()

    def wait_for_more(self, count: int, vhid: int, within_s: float) -> None:
        """Wait until so many more advertisements of a group were heard: the group's own clock."""
        for _ in range(count):
            self.wait_for(lambda heard: heard.packet.vhid == vhid, within_s)

    def longest_gap_s(self, vhid: int, since_s: float = 0.0, sources: Collection[IPv4Address] = ()) -> float:
        """The longest time between two advertisements of the group; `since_s` is of time.time()."""
        times = [
            heard.at_s
            for heard in self.heard
            if heard.packet.vhid == vhid and heard.at_s >= since_s and (not sources or heard.source in sources)
        ]
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

    def _open(self) -> socket.socket:
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        tap.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        tap.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        tap.bind(("eth0", _ETH_P_IP))
        return tap

    def _read(self) -> None:
        data, control, _, _ = self._socket.recvmsg(2048, 128)
        payload = data[(data[0] & 15) * 4 :][:CARP_SIZE]
        if data[9] == CARP_PROTOCOL and len(payload) == CARP_SIZE:
            seconds, nanoseconds = _TIMESPEC.unpack(control[0][2])
            self._heard.append(Heard(seconds + nanoseconds / 1e9, IPv4Address(data[12:16]), unpack(payload)))
