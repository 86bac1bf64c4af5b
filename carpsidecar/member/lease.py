"""The kernel's lease on the addresses, as far as the kernel has confirmed it.

The election decides when to renew. A renewal runs beside it and may take long, fail, or end after a release or
a takeover: requests are numbered, and an answer counts only in the term of its request and while none to a later
request has come.
"""

from carpsidecar.member.actions import AddAddresses, LeaseRequest, RenewAddresses


class Lease:
    """Times are seconds of the member's clock."""

    def __init__(self) -> None:
        self.ends_at: float | None = None
        """None where the kernel has confirmed nothing in this term, or there is none."""
        self.backups_wait_until = 0.0
        """By our last advertisement."""
        self.confirmed = 0
        """Requests since the start."""
        self.due_again = False
        """Whether a renewal became due while one was under way."""
        self._number = 0
        self._stale_to = 0
        """Answers to requests up to this number change nothing."""
        self._under_way: int | None = None

    def may_be_overtaken(self, now: float) -> bool:
        """Whether the kernel may have dropped the addresses, or a backup may have lost its patience with us."""
        return self.ends_at is not None and now >= min(self.ends_at, self.backups_wait_until)

    def left_s(self, now: float) -> float:
        return max(0.0, (self.ends_at or 0.0) - now)

    def add(self, now: float, lifetime_s: int) -> AddAddresses:
        self._number += 1
        return AddAddresses(lifetime_s, now + lifetime_s, self._number)

    def renew(self, now: float, lifetime_s: int) -> RenewAddresses | None:
        """None: one is under way, and this one follows it."""
        self.due_again = self._under_way is not None
        if self.due_again:
            return None
        self._number += 1
        self._under_way = self._number
        return RenewAddresses(lifetime_s, now + lifetime_s, self._number)

    def answered(self, request: LeaseRequest) -> bool:
        """Whether the answer to this request still counts."""
        if request.number == self._under_way:
            self._under_way = None
        return request.number > self._stale_to

    def confirm(self, request: LeaseRequest) -> None:
        self._stale_to = request.number
        self.ends_at = request.until
        self.confirmed += 1

    def end(self) -> None:
        """No answer to what was requested so far counts any more."""
        self.ends_at = self._under_way = None
        self.due_again = False
        self._stale_to = self._number
