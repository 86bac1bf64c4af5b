"""Who was heard in a group: for people who look for a peer, and for nothing that decides.

Anybody on the segment can invent senders, as many as they like. What is kept is bounded, a packet costs the same
whoever sent it, and a sender whose digest fitted never makes room for one whose digest did not.
"""

from collections.abc import Collection

from carpsidecar.ipc.messages import HEARD_MAX, PeerHeard
from carpsidecar.protocol.packet import IPAddress

_SILENT_AFTER_S = 10.0
"""Somebody may send under an authentic peer's address: what does not fit counts when that one is silent so long."""

_WITHOUT_OTHERS_S = 1.5
"""After so long, another master that has to yield to this one is news."""
_FLAPPING_AFTER_S, _FLAPPING_MAX = 0.5, 3
"""After so long it is as well, but only so often in a row: one that does not hear us goes on each second."""


class PeersHeard:
    """The last advertisement of each sender, of the latest ones at most. Times are seconds since the epoch."""

    def __init__(self) -> None:
        self._authentic: dict[IPAddress, PeerHeard] = {}
        self._unauthentic: dict[IPAddress, PeerHeard] = {}
        self.outranked_s: float | None = None
        """When, as master, this node last heard another one that has to yield to it, after a time without such."""
        self._other_master_s = 0.0
        self._news_in_a_row = 0

    @property
    def authentic(self) -> Collection[IPAddress]:
        """Whose digest fitted; at most HEARD_MAX."""
        return self._authentic.keys()

    def heard(self, source: IPAddress, interval_s: float, heard_s: float) -> None:
        """An advertisement of the group, whose digest fitted."""
        self._unauthentic.pop(source, None)
        _put_last(self._authentic, source, PeerHeard(interval_s=interval_s, heard_s=heard_s, authentic=True))
        if len(self._authentic) + len(self._unauthentic) > HEARD_MAX:
            _drop_first(self._unauthentic or self._authentic)

    def heard_unauthentic(self, source: IPAddress, interval_s: float, heard_s: float) -> None:
        """One of the group's vhid, whose digest did not."""
        _put_last(self._unauthentic, source, PeerHeard(interval_s=interval_s, heard_s=heard_s, authentic=False))
        if len(self._authentic) + len(self._unauthentic) > HEARD_MAX:
            _drop_first(self._unauthentic)

    def outranked(self, heard_s: float) -> bool:
        """Another master that has to yield to this one was heard; whether that is news."""
        before, self._other_master_s = self._other_master_s, heard_s
        silent_s = abs(heard_s - before)
        if silent_s > _WITHOUT_OTHERS_S:
            self._news_in_a_row = 0
        elif silent_s <= _FLAPPING_AFTER_S or self._news_in_a_row == _FLAPPING_MAX:
            return False
        else:
            self._news_in_a_row += 1
        self.outranked_s = heard_s
        return True

    def report(self) -> dict[str, PeerHeard]:
        """By source address."""
        peers = self._authentic | {s: peer for s, peer in self._unauthentic.items() if self._counts(s, peer)}
        return {str(source): peer for source, peer in peers.items()}

    def _counts(self, source: IPAddress, unauthentic: PeerHeard) -> bool:
        authentic = self._authentic.get(source)
        return authentic is None or unauthentic.heard_s - authentic.heard_s > _SILENT_AFTER_S


def _put_last(peers: dict[IPAddress, PeerHeard], source: IPAddress, peer: PeerHeard) -> None:
    peers.pop(source, None)
    peers[source] = peer


def _drop_first(peers: dict[IPAddress, PeerHeard]) -> None:
    del peers[next(iter(peers))]
