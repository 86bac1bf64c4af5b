"""One question about a lost machine, and not as many as it had groups."""

from carpsidecar.protocol.packet import IPAddress


class SharedQuestions:
    """What the groups of an interface asked about the masters that they follow. Times are the loop's."""

    def __init__(self) -> None:
        self._asked_at: dict[IPAddress, float] = {}
        """By master."""
        self._about: dict[IPAddress, IPAddress] = {}
        """By the address that was asked for: whose machine should answer."""

    def is_due(self, now: float, master: IPAddress, address: IPAddress, gap_s: float) -> bool:
        """Whether a group that follows this master is to ask for its address, or another one did a moment ago.

        Args:
            gap_s: how long it waits between two questions.
        """
        # Half of it, so that a group that is alone asks each time, however its timers come.
        due = now - self._asked_at.get(master, float("-inf")) >= gap_s / 2
        if due:
            self._asked_at[master] = now
            self._about[address] = master
        return due

    def master_of(self, address: IPAddress) -> IPAddress | None:
        """Whose machine has answered, if one does for this address."""
        return self._about.get(address)

    def forget(self) -> None:
        self._asked_at.clear()
        self._about.clear()
