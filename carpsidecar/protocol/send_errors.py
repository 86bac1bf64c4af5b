"""Whether advertisements leave: who can't send should not be master (`sc_sendad_errors` of the BSDs' ip_carp.c)."""

SEND_ERRORS_MAX = 3
"""Failed advertisements in a row that demote, and good ones in a row that undo it (CARP_SENDAD_MAX_ERRORS)."""


class SendErrors:
    def __init__(self) -> None:
        self._errors = self._successes = 0

    @property
    def failing(self) -> bool:
        return self._errors >= SEND_ERRORS_MAX

    def sent(self, ok: bool) -> None:
        if not ok:
            self._errors += 1
            self._successes = 0
        elif self.failing:
            self._successes += 1
            if self._successes >= SEND_ERRORS_MAX:
                self._errors = 0
        else:
            self._errors = 0

    def forget(self) -> None:
        self._errors = 0
