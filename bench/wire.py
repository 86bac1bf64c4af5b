"""What a client hears of the election, with the time at which its kernel got each packet.

The kernel stamps packets by the wall clock; here all times are of the monotonic one, like those of the lab.
"""

import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from carpsidecar.lab.closing import Closing
from carpsidecar.lab.namespace import run_in
from carpsidecar.lab.node import Node

_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("=qq")
_IP_ADD_MEMBERSHIP, _MREQN = 35, struct.Struct("=4s4si")
_ETH_P_ARP = 0x0806
_CARP_AND_VRRP, _GROUP = 112, "224.0.0.18"
_BROADCAST, _BEACON_PORT, _BEACON_INTERVAL_S = "10.99.0.255", 7009, 0.001

Kind = Literal["advertisement", "announcement", "question", "beacon"]


@dataclass(frozen=True, slots=True)
class Heard:
    """`source` sent an advertisement, announced that it has `address`, asked for it as CARP does (from 0.0.0.0), or
    was let through again (a beacon)."""

    at: float
    kind: Kind
    source: str
    address: str = ""


class Wire(Closing):
    """Listens at the client's eth0 from the moment it is made.

    Args:
        asking: the machine whose ARP questions are of interest.
    """

    def __init__(self, client: Node, asking: Node) -> None:
        self._asking_mac = asking.links[0].mac
        self._heard: list[Heard] = []
        self._changed = threading.Condition()
        self._sockets: dict[socket.socket, Callable[[bytes, str], Heard | None]] = {}
        self._now = 0.0
        run_in(client.ns, self._open)
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    @property
    def heard(self) -> list[Heard]:
        with self._changed:
            return list(self._heard)

    def wait_for(self, kind: Kind, source: str, timeout_s: float, since: float | None = None) -> Heard:
        """The first of this kind from that address, from `since`, or from now on."""
        since = time.monotonic() if since is None else since

        def find() -> Heard | None:
            of_interest = (h for h in self._heard if (h.kind, h.source) == (kind, source))
            return next((heard for heard in of_interest if heard.at >= since), None)

        with self._changed:
            found = self._changed.wait_for(find, timeout_s)
        if found is None:
            raise TimeoutError(f"no {kind} from {source} in {timeout_s} s")
        return found

    def joined_at(self, node: Node, join: Callable[[], None], timeout_s: float = 5.0) -> float:
        """Do `join`, and say when the node's first packet came through: it sends one a millisecond meanwhile."""
        over = threading.Event()
        sender = run_in(node.ns, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        # By broadcast, which need not wait for an answer to ARP.
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sender.bind((str(node.address), 0))

        def send() -> None:
            while not over.wait(_BEACON_INTERVAL_S):
                sender.sendto(b"", (_BROADCAST, _BEACON_PORT))

        thread = threading.Thread(target=send, daemon=True)
        since = time.monotonic()
        thread.start()
        try:
            join()
            return self.wait_for("beacon", str(node.address), timeout_s, since).at
        finally:
            over.set()
            thread.join()
            sender.close()

    def close(self) -> None:
        os.write(self._stop_write, b"x")
        self._thread.join()
        for sock in self._sockets:
            sock.close()
        for descriptor in (self._stop_read, self._stop_write):
            os.close(descriptor)

    def _open(self) -> None:
        adverts = socket.socket(socket.AF_INET, socket.SOCK_RAW, _CARP_AND_VRRP)
        group = _MREQN.pack(socket.inet_aton(_GROUP), bytes(4), socket.if_nametoindex("eth0"))
        adverts.setsockopt(socket.IPPROTO_IP, _IP_ADD_MEMBERSHIP, group)
        arp = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        arp.bind(("eth0", _ETH_P_ARP))
        beacons = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        beacons.bind(("", _BEACON_PORT))
        self._sockets = {adverts: self._advertisement, arp: self._announcement, beacons: self._beacon}
        for sock in self._sockets:
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)

    def _advertisement(self, data: bytes, sender: str) -> Heard:
        return Heard(self._now, "advertisement", sender)

    def _beacon(self, data: bytes, sender: str) -> Heard:
        return Heard(self._now, "beacon", sender)

    def _announcement(self, data: bytes, sender: str) -> Heard | None:
        if len(data) < 28:
            return None
        if data[14:18] == bytes(4) and data[8:14] == self._asking_mac:
            return Heard(self._now, "question", data[8:14].hex(":"), socket.inet_ntoa(data[24:28]))
        if data[14:18] != data[24:28]:
            return None
        return Heard(self._now, "announcement", data[8:14].hex(":"), socket.inet_ntoa(data[14:18]))

    def _listen(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._stop_read, selectors.EVENT_READ)
            for sock, read in self._sockets.items():
                selector.register(sock, selectors.EVENT_READ, read)
            while True:
                for key, _ in selector.select():
                    if not isinstance(key.fileobj, socket.socket):
                        return
                    data, control, _, sender = key.fileobj.recvmsg(2048, 128)
                    seconds, nanoseconds = _TIMESPEC.unpack(control[0][2])
                    self._now = seconds + nanoseconds / 1e9 - (time.time() - time.monotonic())
                    heard = key.data(data, str(sender[0]))
                    if heard is not None:
                        with self._changed:
                            self._heard.append(heard)
                            self._changed.notify_all()
