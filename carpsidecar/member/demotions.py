"""What demotes a member: causes that somebody gave, and what it concluded from failures of its own."""

from typing import Final

ADDRESSES: Final = "addresses"
"""The cause where the addresses could not be added."""
SENDING: Final = "sending"
"""The cause where advertisements could not be sent."""
SYNC: Final = "sync:"
"""The beginning of the causes that other groups of the same sync group give."""

SEND_ERRORS_MAX: Final = 3
"""Failed advertisements in a row that demote, and good ones in a row that undo it (CARP_SENDAD_MAX_ERRORS of the
BSDs' ip_carp.c): who can't send should not be master."""


def is_own(cause: str) -> bool:
    """Whether it is a member's conclusion from a failure, its own or of a group that moves with it."""
    return cause in (ADDRESSES, SENDING) or cause.startswith(SYNC)


class Demotions:
    """By cause, with the words that came with them and since when; and the advertisements that fail to leave."""

    def __init__(self) -> None:
        self.amounts: dict[str, int] = {}
        self.texts: dict[str, str] = {}
        self.since: dict[str, float] = {}
        self._errors = self._successes = 0

    @property
    def total(self) -> int:
        return sum(self.amounts.values())

    @property
    def by_command(self) -> int:
        """What was commanded, and not concluded."""
        return sum(amount for cause, amount in self.amounts.items() if not is_own(cause))

    def set(self, now: float, cause: str, amount: int, text: str) -> None:
        """0 takes it back."""
        since = self.since.pop(cause, now)
        self.amounts.pop(cause, None)
        self.texts.pop(cause, None)
        if amount:
            self.amounts[cause] = amount
            self.since[cause] = since
            if text:
                self.texts[cause] = text

    def sending_fails(self, ok: bool) -> bool:
        """An advertisement left, or could not: whether that, with those before it, is a reason to demote."""
        if not ok:
            self._errors += 1
            self._successes = 0
        elif self._errors >= SEND_ERRORS_MAX:
            self._successes += 1
            if self._successes >= SEND_ERRORS_MAX:
                self._errors = 0
        else:
            self._errors = 0
        return self._errors >= SEND_ERRORS_MAX

    def forget_send_errors(self) -> None:
        self._errors = self._successes = 0
