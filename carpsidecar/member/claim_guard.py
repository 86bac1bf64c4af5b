"""Who has the address that we are about to take after silence? The claim guard of a backup.

A takeover after silence may be a mistake: the address may belong to a machine that never spoke CARP, or to a
member that lives and is only configured otherwise. So the address is asked for first, by ARP and neighbour
solicitation, in the manner of RFC 5227 section 2.1 and RFC 4862 section 5.4, but faster: within tens of
milliseconds, since a takeover waits for it. Nobody answers: it is taken. Somebody answers that is no member we
know: it is not, and is asked for again.

The master that was followed, now silent on CARP, may still answer: its patience is over, and the address is taken,
as ever. But not while it sends packets that do not fit our configuration: then it lives, and disagrees.

Another may be about to take it as well, a member of another vhid or passphrase that starts at the same moment. So
the questions carry a rank, by which their sender would win an election: whoever hears a lower one gives way for as
long as that one needs, and asks again (RFC 5227, section 2.1.1, has simultaneous probes). And when the address was
taken it is asked for once or twice more, at moments of one's own: should both have it, one gives it back.

Times are seconds of one monotonic clock, lengths of time too.
"""

from enum import Enum
from typing import Final

from msgspec import Struct

NEVER: Final = float("inf")

QUESTIONS: Final = 2
"""One may be lost."""
GAP_S: Final = 0.008
"""Between them, and after the last one."""
AGAIN_AFTER_S: Final = 2.0
"""While somebody else has the address, it is asked for again and again."""
LATE_S: Final = 1.0
"""An answer that comes so long after the question, and after the address was taken, still counts."""
DISAGREES_FOR_S: Final = 3.0
"""A packet that does not fit says for so long, or for our patience if that is longer, that its sender lives."""
HEARD_INTERVALS: Final = 1.25
"""A member that advertised a while ago, by its own interval, is still there."""
_KNOWN_MAX: Final = 64
GIVES_WAY_S: Final = 0.08
"""To whoever goes first: its questions, its claim, and a busy machine."""
HEEDED_MAX: Final = 4
"""So many questions of others change ours; more do not keep an address from ever being taken."""
CONFIRMATIONS: Final = 2
CONFIRM_MIN_S: Final = 0.1
CONFIRM_SPREAD_S: Final = 0.3
"""How often, and so far apart, the address is asked for when it was taken: each member has moments of its own."""


class Holder(Struct, frozen=True):
    """Who answers for an address of the group: its hardware address, and the address that it answered for."""

    mac: bytes
    address: object


class GuardStep(Enum):
    """What is to be done now."""

    NOTHING = "nothing"
    ASK = "ask"
    """Send one question for each address, and read what has arrived before the next `timer_expired`."""
    FREE = "free"
    """Take the address."""
    IN_USE = "in use"
    """Do not: `holder` has it."""


class ClaimGuard:
    """The questions before a takeover after silence, and what is known of those who answer."""

    def __init__(self) -> None:
        self.holder: Holder | None = None
        """For whose sake the address was not taken, or was given back."""
        self._ask_at = NEVER
        self._asked = QUESTIONS
        self._answers: dict[bytes, Holder] = {}
        self._members: dict[bytes, None] = {}
        self._disagreed_until = self._member_heard_until = 0.0
        self._listens_until = 0.0
        self._rank = b""
        self._heeded = 0
        self._confirmations = 0
        self._confirm_gap_s = 0.0
        self.confirm_at = NEVER
        """When the address, which was taken, is to be asked for once more."""

    @property
    def asking(self) -> bool:
        return self._ask_at != NEVER

    @property
    def deadline(self) -> float:
        """When `timer_expired` wants to be called."""
        return self._ask_at

    def member_answered(self, mac: bytes) -> None:
        """It answered for an address of ours while the master advertised: the master, or its proxy."""
        self._members.pop(mac, None)
        self._members[mac] = None
        if len(self._members) > _KNOWN_MAX:
            del self._members[next(iter(self._members))]

    def member_advertised(self, now: float, interval_s: float) -> None:
        """Some member did, which need not be the master that we follow: it may be the one who answers."""
        self._member_heard_until = max(self._member_heard_until, now + HEARD_INTERVALS * interval_s)

    def disagreed(self, now: float, patience_s: float) -> None:
        """The master that we followed sent a packet with another passphrase, vhid or address list."""
        self._disagreed_until = now + max(DISAGREES_FOR_S, patience_s)

    @property
    def rank(self) -> bytes:
        """What our questions carry."""
        return self._rank

    def begin(self, now: float, rank: bytes = b"") -> None:
        """The address is about to be taken.

        Args:
            rank: of equal length for all; the lowest goes first.
        """
        self._answers.clear()
        self._rank = rank
        self._asked = 0
        self._ask_at = now

    def wanted(self, now: float, rank: bytes) -> bool:
        """Another asks for it because it is about to take it. Whether we give way, and ask again later."""
        gives_way = rank < self._rank
        waits = self.asking and not self._asked
        if waits or self._heeded == HEEDED_MAX or not (gives_way or self.asking):
            return waits
        self._heeded += 1
        # Who goes after us may not have heard us: from the first question on.
        self._asked = 0
        self._ask_at = now + GIVES_WAY_S if gives_way else now
        return gives_way

    def taken(self, now: float) -> None:
        """The address, after questions that nobody answered."""
        own = self._rank[-1] * 157 % 256 / 256 if self._rank else 0.0
        self._confirm_gap_s = CONFIRM_MIN_S + CONFIRM_SPREAD_S * own
        self._confirmations = CONFIRMATIONS
        self.confirm_at = now + self._confirm_gap_s

    def confirms(self, now: float) -> bool:
        """Whether the address is to be asked for once more, now."""
        if now < self.confirm_at:
            return False
        self._confirmations -= 1
        self.confirm_at = now + self._confirm_gap_s if self._confirmations else NEVER
        return True

    def give_up(self) -> None:
        """It is not, any more: somebody else is master, or this node is, or takes no part."""
        self._ask_at = NEVER
        self._heeded = 0

    def answered(self, now: float, address: object, mac: bytes) -> Holder | None:
        """Somebody answers for an address. Who, where that comes late: we have taken it, and must give it back."""
        if self._is_harmless(now, mac):
            return None
        holder = self._answers.setdefault(mac, Holder(mac, address))
        return holder if not self.asking and now < self._listens_until else None

    def timer_expired(self, now: float) -> GuardStep:
        """Harmless when it comes early."""
        if now < self._ask_at:
            return GuardStep.NOTHING
        if self._asked < QUESTIONS:
            self._asked += 1
            self._ask_at = now + GAP_S
            return GuardStep.ASK
        self._ask_at = NEVER
        self.holder = next(iter(self._answers.values()), None)
        if self.holder is not None:
            return GuardStep.IN_USE
        self._listens_until = now + LATE_S
        return GuardStep.FREE

    def _is_harmless(self, now: float, mac: bytes) -> bool:
        member = mac in self._members or now < self._member_heard_until
        return member and now >= self._disagreed_until
