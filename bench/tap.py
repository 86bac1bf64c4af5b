"""What the nodes of interest put on the wire, with the time at which the kernel of a node apart saw each frame.

A filter in the kernel takes frames by their sender's MAC address, so that nobody else's flood reaches it.
"""

import select
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from carpsidecar.lab.namespace import run_in
from carpsidecar.lab.node import Node
from carpsidecar.linux.packet_filter import Step, answer, assemble, attach, half, unless, word
from carpsidecar.protocol.packet import CARP_PROTOCOL, CARP_SIZE, Advertisement, unpack

_ETH_P_ALL, _ETH_P_IP, _ETH_P_ARP, _ETH_P_IPV6 = 0x0003, 0x0800, 0x0806, 0x86DD
_SO_TIMESTAMPNS, _SO_RCVBUFFORCE = 35, 33
_TIMESPEC = struct.Struct("=qq")
_BUFFER_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Frame:
    """`at_s` is of time.time()."""

    at_s: float
    mac: bytes
    data: bytes

    @property
    def advertisement(self) -> Advertisement | None:
        kind = struct.unpack_from(">H", self.data, 12)[0]
        if (kind, self.data[23]) == (_ETH_P_IP, CARP_PROTOCOL):
            payload = self.data[34:70]
        elif (kind, self.data[20]) == (_ETH_P_IPV6, CARP_PROTOCOL):
            payload = self.data[54:90]
        else:
            return None
        return unpack(payload) if len(payload) == CARP_SIZE else None

    @property
    def announced(self) -> bytes | None:
        """The address that a gratuitous ARP or an unsolicited neighbour advertisement is about."""
        kind = struct.unpack_from(">H", self.data, 12)[0]
        if kind == _ETH_P_ARP and self.data[28:32] == self.data[38:42]:
            return self.data[28:32]
        if kind == _ETH_P_IPV6 and self.data[20] == 58 and self.data[54] == 136:
            return self.data[62:78]
        return None


class Tap:
    """Listens at eth0 of `node` to what `senders` send, from the moment it is made."""

    def __init__(self, node: Node, senders: Sequence[Node]) -> None:
        macs = [mac_of(sender) for sender in senders]
        self._frames: list[Frame] = []
        self._socket = run_in(node.ns, lambda: self._open(macs))

    @property
    def frames(self) -> list[Frame]:
        """Everything up to now, in order."""
        while select.select([self._socket], [], [], 0)[0]:
            data, control, _, _ = self._socket.recvmsg(2048, 128)
            seconds, nanoseconds = _TIMESPEC.unpack(control[0][2])
            self._frames.append(Frame(seconds + nanoseconds / 1e9, data[6:12], data))
        return list(self._frames)

    def wait(self, timeout_s: float) -> None:
        """Until there is a frame to read."""
        select.select([self._socket], [], [], timeout_s)

    def advertised_at(self, sender: Node, since_s: float, until_s: float) -> list[float]:
        mac = mac_of(sender)
        return [
            frame.at_s
            for frame in self.frames
            if frame.mac == mac and since_s <= frame.at_s <= until_s and frame.advertisement
        ]

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, macs: Sequence[bytes]) -> socket.socket:
        steps: list[Step | str] = []
        for number, mac in enumerate(macs):
            steps += [word(6), unless(int.from_bytes(mac[:4], "big"), f"next {number}")]
            steps += [half(10), unless(int.from_bytes(mac[4:], "big"), f"next {number}")]
            steps += [answer(0xFFFF), f"next {number}"]
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        attach(tap, assemble([*steps, answer(0)]))
        tap.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        tap.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        tap.bind(("eth0", _ETH_P_ALL))
        return tap


def mac_of(node: Node) -> bytes:
    return run_in(node.ns, lambda: _mac("eth0"))


def _mac(interface: str) -> bytes:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as probe:
        probe.bind((interface, 0))
        return bytes(probe.getsockname()[4])
