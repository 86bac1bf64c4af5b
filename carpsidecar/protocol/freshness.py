"""Whether an authentic packet is new, without clocks that agree.

A packet names its sender's session, random and new at each start, and the session time: microseconds since then,
which rise with each packet. A session is learned by a nonce: the packet that answers it, within a second, tells
what the session time is now; from then on every packet of that session tells its age. A packet is believed that

- belongs to the session that its sender was last learned to have,
- has a higher session time than all before it,
- is not late: by no more than 2 s beyond the smallest delay seen, plus 200 ppm of the time since it was learned,
- and is not early, by the same reckoning: then our own clock stood still.

What is not believed makes us ask its sender, who alone answers. Whoever asks shows with the session time that it
heard last that its question is no recording: such questions have a budget of their own, which recordings can't use
up. Nobody without a key can make memory or packets grow beyond the bounds below.

Times are seconds of one monotonic clock, and come in as arguments; randomness comes from a function that was given.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from carpsidecar.protocol.hardened_packet import NONE, HardenedPacket, Kind
from carpsidecar.protocol.packet import IPAddress
from carpsidecar.protocol.token_bucket import TokenBucket

LATENESS_MAX_S = 2.0
DRIFT_MAX = 200e-6
"""How far two clocks may run apart."""
NONCE_LIFETIME_S = 1.0
ECHO_AGE_MAX_S = 10.0
"""How old the session time may be with which a question shows that it is no recording."""
LEARNED_AGE_MAX_S = 3600.0
"""After this a session is no longer believed."""
ASK_AGAIN_AGE_S = 600.0
ASK_MASTER_AGAIN_AGE_S = 60.0
"""After this its sender is asked again; a master earlier, since our own clock may have stood still unnoticed."""

_EARLINESS_MAX_S = 0.01
_RETRIES_AFTER_S = (0.1, 0.4)
"""After the first question, and after the second: packets get lost."""
_PAUSE_MIN_S, _PAUSE_MAX_S = 1.0, 60.0
"""Before one who does not answer is asked again, growing."""
_SENDERS_MAX = 512
_UNPROVEN_MAX = 1024
_ANSWERED_MAX = 256
_RATE = 500.0
"""Packets a second, and at once: to those who may be recordings, and as many to all others."""
_US = 1e6


class Belief(Enum):
    BELIEVED = "believed"
    OWN = "own"
    REPLAY = "replay"
    LATE = "late"
    """Or early, or learned too long ago."""
    UNKNOWN = "unknown"
    """Of a session that was not learned."""


class Reply(NamedTuple):
    """What is to be sent in a packet of ours."""

    to: IPAddress | None
    """Whom it is for, which only matters for the family; None: everybody."""
    asked: bytes = NONE
    answered: bytes = NONE
    target: bytes = NONE
    target_time_us: int = 0


@dataclass(slots=True)
class _Sender:
    """A session that was learned."""

    session: bytes
    asked_s: float
    learned_s: float
    earliest_s: float
    """The smallest possible difference between our clock and the session's: nobody answers before he is asked."""
    smallest_s: float
    """The smallest difference that was seen."""
    last_us: int
    trusted: bool = True
    """Not since we stalled."""

    def judge(self, now: float, time_us: int) -> Belief:
        age_s = now - self.learned_s
        difference_s = now - time_us / _US
        drift_s = DRIFT_MAX * age_s
        late = difference_s > self.smallest_s + LATENESS_MAX_S + drift_s
        early = difference_s < self.earliest_s - _EARLINESS_MAX_S - drift_s
        if late or early or not self.trusted or age_s > LEARNED_AGE_MAX_S:
            return Belief.LATE
        self.last_us = time_us
        self.smallest_s = min(self.smallest_s, difference_s)
        return Belief.BELIEVED


class _Nonce(NamedTuple):
    asked_s: float
    target: bytes


@dataclass(slots=True)
class _Unproven:
    """A session that we ask for: of a member that we do not know yet, or out of a recording."""

    time_us: int
    tries: int = 0
    next_s: float = float("-inf")
    answered: bytes = NONE
    """What it asked itself, for as long as it can use the answer."""
    answer_until_s: float = 0.0


_Key = tuple[IPAddress, bytes]


class Freshness:
    """One group's own session, and those of the others.

    Args:
        now: when our session begins.
        random_bytes: so many bytes that nobody can foresee.
    """

    def __init__(self, now: float, random_bytes: Callable[[int], bytes]) -> None:
        self.session = random_bytes(8)
        self._random_bytes = random_bytes
        self._begun_s = now
        self._time_us = 0
        self._senders: dict[IPAddress, _Sender] = {}
        self._nonces: dict[bytes, _Nonce] = {}
        self._unproven: dict[_Key, _Unproven] = {}
        self._retries: dict[_Key, float] = {}
        self._answered: dict[bytes, None] = {}
        self._ask_all_at: list[float] = []
        self._replies: list[Reply] = []
        self._unproven_bucket = TokenBucket(now, _RATE)
        self._proven_bucket = TokenBucket(now, _RATE)

    @property
    def deadline(self) -> float | None:
        """When `timer_expired` wants to be called."""
        return min((*self._ask_all_at[:1], *self._retries.values()), default=None)

    def next_time_us(self, now: float) -> int:
        """The session time of the next packet."""
        self._time_us = max(self._time_us + 1, int((now - self._begun_s) * _US))
        return self._time_us

    def take_replies(self) -> list[Reply]:
        """What is to be sent now; each is given out once."""
        replies, self._replies = self._replies, []
        return replies

    def ask_all(self, now: float) -> None:
        """At the start, and whenever nobody known can be trusted: now, and twice more, since packets get lost."""
        self._ask_all_at = [now + 0.1, now + 0.5]
        self._replies.append(Reply(None, asked=self._nonce(now, NONE)))

    def stalled(self, now: float) -> None:
        """We were not run for a while: what is read now may be as old as that, so nobody is believed unasked."""
        for sender in self._senders.values():
            sender.trusted = False
        self._unproven.clear()
        self._retries.clear()
        self.ask_all(now)

    def ask_again(self, now: float, source: IPAddress) -> None:
        """Something about a member changed, and it tells more in an answer."""
        sender = self._senders.get(source)
        if sender is not None:
            self._ask(now, (source, sender.session), sender.last_us)

    def timer_expired(self, now: float) -> None:
        """Harmless when it comes early."""
        if self._ask_all_at and now >= self._ask_all_at[0]:
            del self._ask_all_at[0]
            self._replies.append(Reply(None, asked=self._nonce(now, NONE)))
        for key in [key for key, at in self._retries.items() if now >= at]:
            del self._retries[key]
            self._ask(now, key, self._unproven[key].time_us)

    def receive(self, now: float, source: IPAddress, packet: HardenedPacket) -> Belief:
        """Judge a packet whose digest is right. Only what is believed may move anything."""
        if packet.session == self.session:
            return Belief.OWN
        belief = self._judge(now, source, packet)
        if belief is not Belief.REPLAY:
            self._respond(now, source, packet, belief)
        return belief

    def _judge(self, now: float, source: IPAddress, packet: HardenedPacket) -> Belief:
        sender = self._senders.get(source)
        if sender is not None and sender.session != packet.session:
            sender = None
        if sender is not None and packet.time_us <= sender.last_us:
            return Belief.REPLAY
        asked_s = self._opened_by(now, source, packet)
        if asked_s is not None:
            self._learn(now, source, packet, asked_s)
            return Belief.BELIEVED
        return Belief.UNKNOWN if sender is None else sender.judge(now, packet.time_us)

    def _opened_by(self, now: float, source: IPAddress, packet: HardenedPacket) -> float | None:
        """When the nonce was asked that this packet answers in time; None where it answers none."""
        if packet.answered == NONE:
            return None
        nonce = self._nonces.get(packet.answered)
        if nonce is None or now - nonce.asked_s > NONCE_LIFETIME_S or nonce.target not in (NONE, packet.session):
            return None
        sender = self._senders.get(source)
        if sender is not None and nonce.asked_s <= sender.asked_s:
            # It opened one of this sender's, or an older one than that which is open: nothing goes back.
            return None
        return nonce.asked_s

    def _learn(self, now: float, source: IPAddress, packet: HardenedPacket, asked_s: float) -> None:
        if self._senders.pop(source, None) is None and len(self._senders) >= _SENDERS_MAX:
            del self._senders[min(self._senders, key=lambda one: self._senders[one].learned_s)]
        time_s = packet.time_us / _US
        self._senders[source] = _Sender(
            packet.session, asked_s, now, asked_s - time_s, now - time_s, packet.time_us
        )
        key = (source, packet.session)
        self._unproven.pop(key, None)
        self._retries.pop(key, None)

    def _respond(self, now: float, source: IPAddress, packet: HardenedPacket, belief: Belief) -> None:
        """Answer what it asks, and ask what we need to know."""
        key = (source, packet.session)
        believed = belief is Belief.BELIEVED
        if packet.asked != NONE and packet.target in (NONE, self.session):
            if believed or self._echoes_us(now, packet):
                self._answer(now, source, packet, believed)
            else:
                self._ask(now, key, packet.time_us, packet.asked)
        elif not believed or now - self._senders[source].learned_s > _ask_again_age_s(packet):
            self._ask(now, key, packet.time_us)

    def _echoes_us(self, now: float, packet: HardenedPacket) -> bool:
        """Whether it knows a session time of ours from just now, which no recording does."""
        if packet.target != self.session:
            return False
        age_us = int((now - self._begun_s) * _US) - packet.target_time_us
        return age_us <= ECHO_AGE_MAX_S * _US and packet.target_time_us <= self._time_us

    def _answer(self, now: float, source: IPAddress, packet: HardenedPacket, believed: bool) -> None:
        to_all = packet.target == NONE
        if to_all and believed and now - self._senders[source].learned_s < NONCE_LIFETIME_S:
            # It asks once more because something got lost, but from us it has heard: it answered us since.
            return
        if packet.asked in self._answered or not self._proven_bucket.take(now):
            return
        if len(self._answered) >= _ANSWERED_MAX:
            del self._answered[next(iter(self._answered))]
        self._answered[packet.asked] = None
        asks = to_all or not believed
        self._replies.append(
            Reply(
                source,
                asked=self._nonce(now, packet.session) if asks else NONE,
                answered=packet.asked,
                target=packet.session if asks else NONE,
                target_time_us=packet.time_us if asks else 0,
            )
        )

    def _ask(self, now: float, key: _Key, time_us: int, answered: bytes = NONE) -> None:
        """Ask one who is not believed, at a limited rate, and answer in the same packet what it may have asked."""
        unproven = self._unproven.get(key)
        if unproven is None:
            if len(self._unproven) >= _UNPROVEN_MAX:
                oldest = next(iter(self._unproven))
                del self._unproven[oldest]
                self._retries.pop(oldest, None)
            unproven = self._unproven[key] = _Unproven(time_us)
        unproven.time_us = max(unproven.time_us, time_us)
        if answered != NONE:
            unproven.answered = answered
            unproven.answer_until_s = now + NONCE_LIFETIME_S
        known = self._senders.get(key[0])
        bucket = self._proven_bucket if known and known.session == key[1] else self._unproven_bucket
        if now < unproven.next_s or not bucket.take(now):
            return
        tries = unproven.tries = unproven.tries + 1
        if tries <= len(_RETRIES_AFTER_S):
            unproven.next_s = self._retries[key] = now + _RETRIES_AFTER_S[tries - 1]
        else:
            self._retries.pop(key, None)
            doublings = min(tries - len(_RETRIES_AFTER_S) - 1, 6)
            unproven.next_s = now + min(_PAUSE_MAX_S, _PAUSE_MIN_S * 2.0**doublings)
        source, session = key
        self._replies.append(
            Reply(
                source,
                asked=self._nonce(now, session),
                answered=unproven.answered if now < unproven.answer_until_s else NONE,
                target=session,
                target_time_us=unproven.time_us,
            )
        )

    def _nonce(self, now: float, target: bytes) -> bytes:
        while self._nonces and now - self._nonces[oldest := next(iter(self._nonces))].asked_s > NONCE_LIFETIME_S:
            del self._nonces[oldest]
        nonce = self._random_bytes(8)
        self._nonces[nonce] = _Nonce(now, target)
        return nonce


def _ask_again_age_s(packet: HardenedPacket) -> float:
    return ASK_MASTER_AGAIN_AGE_S if packet.kind == Kind.ADVERTISEMENT else ASK_AGAIN_AGE_S
