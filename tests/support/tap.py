"""The segment as a machine sees it that reads and sends raw frames: what passes by, and when its kernel saw it.

Written from the RFCs and not with the code that reads CARP elsewhere here, which is what is tested with it.
"""

import itertools
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from carpsidecar.lab.closing import Closing
from carpsidecar.lab.namespace import run_in
from carpsidecar.lab.node import Node
from carpsidecar.linux.packet_filter import Step, answer, assemble, attach, half, unless, word

_ETH_P_ALL = 0x0003
_IPV4, _ARP, _IPV6 = b"\x08\x00", b"\x08\x06", b"\x86\xdd"
_CARP, _ICMPV6, _NEIGHBOUR_ADVERTISEMENT = 112, 58, 136
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23
_SO_TIMESTAMPNS, _SO_RCVBUFFORCE = 35, 33
_TIMESPEC = struct.Struct("=qq")
_BUFFER_BYTES = 64 << 20
_CARP_SIZE = 36
_HARDENED_SIZE_MIN = 92
_HARDENED_ADVERTISEMENT = 0x32


@dataclass(frozen=True, slots=True)
class Frame:
    """The `number`-th that was heard, from 1 on; `at_s` is of time.time()."""

    number: int
    at_s: float
    data: bytes

    @property
    def mac(self) -> bytes:
        """The sender's."""
        return self.data[6:12]

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
    def is_hardened(self) -> bool:
        """A packet of the hardened mode, of any kind."""
        payload = self.payload
        return len(payload) >= _HARDENED_SIZE_MIN and payload[0] >> 4 == 3

    @property
    def is_advertisement(self) -> bool:
        payload = self.payload
        return payload[0] == _HARDENED_ADVERTISEMENT if self.is_hardened else len(payload) == _CARP_SIZE

    @property
    def vhid(self) -> int:
        return int.from_bytes(self.payload[2:4]) if self.is_hardened else self.payload[1]

    @property
    def advskew(self) -> int:
        return self.payload[5 if self.is_hardened else 2]

    @property
    def is_bow_out(self) -> bool:
        payload = self.payload
        both = payload[4:6] if self.is_hardened else payload[5:6] + payload[2:3]
        return self.is_advertisement and both == b"\xff\xff"

    @property
    def asked(self) -> bytes | None:
        """The IPv4 address that an ARP probe asks for, which claims none."""
        data = self.data
        return data[38:42] if data[12:14] == _ARP and data[20:22] == b"\0\1" and not any(data[28:32]) else None

    @property
    def announced(self) -> bytes | None:
        """The address that a gratuitous ARP or an unsolicited neighbour advertisement is about."""
        data = self.data
        if data[12:14] == _ARP and data[28:32] == data[38:42]:
            return data[28:32]
        if (data[12:14], data[20], data[54:55]) == (_IPV6, _ICMPV6, bytes([_NEIGHBOUR_ADVERTISEMENT])):
            return data[62:78]
        return None


class Tap(Closing):
    """Listens at eth0 of a node from the moment it is made; its kernel keeps what arrives while nobody reads.

    Args:
        senders: only these are heard; a filter in the kernel keeps everybody else's flood away.
    """

    def __init__(self, node: Node, senders: Sequence[Node] = ()) -> None:
        macs = [mac_of(sender) for sender in senders]
        self._heard: list[Frame] = []
        self._socket = run_in(node.ns, lambda: _open(macs))
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
        return [
            frame for frame in self.heard if frame.payload and (frame.is_advertisement or not frame.is_hardened)
        ]

    def advertised_at(self, sender: Node, since_s: float, until_s: float) -> list[float]:
        """When this node's advertisements were heard, between these two times of time.time()."""
        mac = mac_of(sender)
        return [f.at_s for f in self.heard if f.mac == mac and since_s <= f.at_s <= until_s and f.is_advertisement]

    def mark(self) -> int:
        """For `after`: take it before that is done whose effect is waited for."""
        return len(self.heard)

    def wait(self, timeout_s: float) -> None:
        """Until there is a frame to read."""
        select.select([self._socket], [], [], timeout_s)

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
        claimant = frame.data[22:28] if len(raw) == 4 else frame.mac
        return frame.announced == raw and claimant == hardware

    return is_it


def mac_of(node: Node) -> bytes:
    """That of the node's eth0."""
    return run_in(node.ns, _mac)


def _mac() -> bytes:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as probe:
        probe.bind(("eth0", 0))
        return bytes(probe.getsockname()[4])


def _open(macs: Sequence[bytes]) -> socket.socket:
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    if macs:
        attach(tap, _only_from(macs))
    tap.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    tap.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    tap.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    tap.bind(("eth0", _ETH_P_ALL))
    return tap


def _only_from(macs: Sequence[bytes]) -> bytes:
    steps: list[Step | str] = []
    for number, mac in enumerate(macs):
        steps += [word(6), unless(int.from_bytes(mac[:4]), f"next {number}")]
        steps += [half(10), unless(int.from_bytes(mac[4:]), f"next {number}")]
        steps += [answer(0xFFFF), f"next {number}"]
    return assemble([*steps, answer(0)])
