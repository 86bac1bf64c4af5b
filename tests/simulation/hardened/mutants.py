"""Hardened modes with one thought missing each. The attacker must find every one of them."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from unittest import mock

from carpsidecar.protocol import freshness
from carpsidecar.protocol.freshness import Belief, Freshness
from carpsidecar.protocol.hardened_packet import HardenedPacket
from carpsidecar.protocol.packet import IPAddress

Mutant = Callable[[], AbstractContextManager[None]]

_judge = Freshness._judge
_receive = Freshness.receive


@contextmanager
def counter_only() -> Iterator[None]:
    """What rises is believed, as in the first version: a session is learned from any packet."""

    def judge(self: Freshness, now: float, source: IPAddress, packet: HardenedPacket) -> Belief:
        belief = _judge(self, now, source, packet)
        if belief in (Belief.UNKNOWN, Belief.LATE):
            self._learn(now, source, packet, now)
            return Belief.BELIEVED
        return belief

    with mock.patch.object(Freshness, "_judge", judge):
        yield


@contextmanager
def no_lateness() -> Iterator[None]:
    """A known session is believed however late its packets are."""
    with mock.patch.object(freshness, "LATENESS_MAX_S", 1e9):
        yield


@contextmanager
def a_nonce_opens_twice() -> Iterator[None]:
    """And an older one opens a session after a younger one did."""

    def opened_by(self: Freshness, now: float, source: IPAddress, packet: HardenedPacket) -> float | None:
        nonce = self._nonces.get(packet.answered)
        if nonce is None or now - nonce.asked_s > freshness.NONCE_LIFETIME_S:
            return None
        return nonce.asked_s

    with mock.patch.object(Freshness, "_opened_by", opened_by):
        yield


@contextmanager
def a_late_answer_opens() -> Iterator[None]:
    with mock.patch.object(freshness, "NONCE_LIFETIME_S", 1e9):
        yield


@contextmanager
def a_stall_is_forgotten() -> Iterator[None]:
    """What waited in the socket, or was held back meanwhile, is believed like anything else."""

    def stalled(self: Freshness, now: float) -> None:
        for sender in self._senders.values():
            sender.smallest_s = now - sender.last_us / 1e6
        self.ask_all(now)

    with mock.patch.object(Freshness, "stalled", stalled):
        yield


@contextmanager
def twice_is_believed() -> Iterator[None]:
    """A time that does not rise is no hindrance."""

    def judge(self: Freshness, now: float, source: IPAddress, packet: HardenedPacket) -> Belief:
        sender = self._senders.get(source)
        if sender is not None and sender.session == packet.session:
            sender.last_us = min(sender.last_us, packet.time_us - 1)
        return _judge(self, now, source, packet)

    with mock.patch.object(Freshness, "_judge", judge):
        yield


@contextmanager
def the_unbelieved_are_listed() -> Iterator[None]:
    def receive(self: Freshness, now: float, source: IPAddress, packet: HardenedPacket) -> Belief:
        belief = _receive(self, now, source, packet)
        return Belief.BELIEVED if belief is Belief.LATE else belief

    with mock.patch.object(Freshness, "receive", receive):
        yield


MUTANTS = (
    counter_only,
    no_lateness,
    a_nonce_opens_twice,
    a_late_answer_opens,
    a_stall_is_forgotten,
    twice_is_believed,
    the_unbelieved_are_listed,
)
