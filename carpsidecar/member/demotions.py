"""What demotes a member: causes that somebody gave, and what it concluded from failures of its own."""

from carpsidecar.protocol.timing import ADVSKEW_DEMOTED

ADDRESSES = "addresses"
"""The cause where the addresses could not be added."""
SYNC = "sync:"
"""The beginning of the causes that other groups of the same sync group give."""

SEND_ERRORS_MAX = 3
"""Failed advertisements in a row that demote, and good ones in a row that undo it (CARP_SENDAD_MAX_ERRORS of the
BSDs' ip_carp.c): who can't send should not be master."""


class Demotions:
    """By cause, with the words that came with them, and by advertisements that fail to leave."""

    def __init__(self) -> None:
        self.amounts: dict[str, int] = {}
        self.texts: dict[str, str] = {}
        self._errors = self._successes = 0

    @property
    def total(self) -> int:
        return sum(self.amounts.values()) + (ADVSKEW_DEMOTED if self.sends_fail else 0)

    @property
    def sends_fail(self) -> bool:
        return self._errors >= SEND_ERRORS_MAX

    def set(self, cause: str, amount: int, text: str) -> None:
        """0 takes it back."""
        self.amounts.pop(cause, None)
        self.texts.pop(cause, None)
        if amount:
            self.amounts[cause] = amount
            if text:
                self.texts[cause] = text

    def sent(self, ok: bool) -> None:
        """A backup sends nothing, so it stays demoted until it is master again, or its link or settings change."""
        if not ok:
            self._errors += 1
            self._successes = 0
        elif self.sends_fail:
            self._successes += 1
            if self._successes >= SEND_ERRORS_MAX:
                self._errors = 0
        else:
            self._errors = 0

    def forget_send_errors(self) -> None:
        self._errors = 0
