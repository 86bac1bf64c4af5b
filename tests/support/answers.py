"""Who answers for an address, asked at each node's own hardware address: what a client would meet there.

An address may stand on an interface and yet be fenced, so what the kernels list (`holders`) is not what others see.
A third machine asks every node by a unicast ARP request (RFC 826) every few milliseconds.
"""

import socket
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from carpsidecar.lab.closing import Closing
from carpsidecar.lab.namespace import run_in
from carpsidecar.lab.node import Node

INTERVAL_S = 0.002
_ETH_P_IP, _ETH_P_ARP = 0x0800, 0x0806
_REQUEST, _REPLY = 1, 2
_FRAME = struct.Struct("!6s6sHHHBBH6s4s6s4s")
_MISSED_MAX = 3
"""Questions in a row that may get lost, or be answered late on a busy machine, without the node having let go."""


@dataclass(frozen=True, slots=True)
class Span:
    """A node answered from `start`, its first answer, to `end`, its last one."""

    start: float
    end: float


class AnswerWatch(Closing):
    """Asks from the moment it is made until it is closed; times are of time.monotonic().

    Args:
        asker: the third machine.
        nodes: the ones that may answer.
    """

    def __init__(
        self, asker: Node, nodes: Sequence[Node], address: IPv4Address | str, interval_s: float = INTERVAL_S
    ) -> None:
        self._address = IPv4Address(str(address)).packed
        self._interval_s = interval_s
        self._asker_mac, self._asker_address = asker.links[0].mac, asker.address.packed
        self._names = {node.links[0].mac: node.name for node in nodes}
        self._rounds = 0
        self._answers: dict[str, list[tuple[float, int]]] = {node.name: [] for node in nodes}
        """By node: when it answered, and how often all had been asked by then."""
        self._ended = threading.Event()
        self._socket = run_in(asker.ns, _open)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def spans(self, node: str, since: float = 0.0) -> list[Span]:
        """When it answered, in order; what began earlier counts from `since` on."""
        found: list[Span] = []
        last_round = -_MISSED_MAX - 1
        for at, asked in list(self._answers[node]):
            if at >= since:
                goes_on = bool(found) and asked - last_round <= _MISSED_MAX
                found[-1:] = [Span(found[-1].start, at)] if goes_on else [*found[-1:], Span(at, at)]
            last_round = asked
        return found

    def two_holders_s(self, since: float = 0.0) -> float:
        """For how long two nodes or more answered."""
        edges = sorted(
            edge
            for node in self._answers
            for span in self.spans(node, since)
            for edge in ((span.start, 1), (span.end, -1))
        )
        total, holders, before = 0.0, 0, since
        for at, change in edges:
            if holders > 1:
                total += at - before
            holders, before = holders + change, at
        return total

    def still_two(self) -> bool:
        """Whether two nodes or more answer at present."""
        asked = self._rounds
        return sum(bool(a) and asked - a[-1][1] <= _MISSED_MAX for a in self._answers.values()) > 1

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _watch(self) -> None:
        due = time.monotonic()
        while not self._ended.is_set():
            self._rounds += 1
            for mac in self._names:
                self._socket.send(self._question(mac))
            # A machine that did not run us for a while is not asked for what was missed meanwhile.
            due = max(due + self._interval_s, time.monotonic())
            while (left_s := due - time.monotonic()) > 0:
                self._receive(left_s)

    def _receive(self, within_s: float) -> None:
        self._socket.settimeout(within_s)
        try:
            frame = self._socket.recv(_FRAME.size + 64)
        except TimeoutError:
            return
        now = time.monotonic()
        fields = _FRAME.unpack(frame[: _FRAME.size]) if len(frame) >= _FRAME.size else ()
        name = self._names.get(fields[1]) if fields else None
        if name is not None and fields[7] == _REPLY and fields[9] == self._address:
            self._answers[name].append((now, self._rounds))

    def _question(self, mac: bytes) -> bytes:
        return _FRAME.pack(
            *(mac, self._asker_mac, _ETH_P_ARP, 1, _ETH_P_IP, 6, 4, _REQUEST),
            *(self._asker_mac, self._asker_address, bytes(6), self._address),
        )


def _open() -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    sock.bind(("eth0", _ETH_P_ARP))
    return sock
