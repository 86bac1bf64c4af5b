"""What is asked of the engine, each thing only when it is another than before."""

import contextlib
from collections.abc import Callable, Sequence

from carpsidecar.ipc.messages import PEERS_MAX, SetAdvskew, SetDemotion, SetPeers, ToEngine

DEMOTION_MAX = 255
DRAIN_DEMOTION = 240
"""As much as there is: whoever drains wants the address to go wherever it can."""


class Demands:
    """Args: ask: must not wait; called with the reporter's lock held, so that what is asked last is the newest."""

    def __init__(self, ask: Callable[[ToEngine], None]) -> None:
        self._ask = ask
        self._asked: dict[str, ToEngine] = {}

    def demote(self, cause: str, amount: int) -> bool:
        """0 takes it back. Whether that is another amount than before; before the first word, it is none."""
        amount = min(amount, DEMOTION_MAX)
        before = self._asked.get(cause)
        changed = (before.amount if isinstance(before, SetDemotion) else 0) != amount
        self._say(cause, SetDemotion(cause=cause, amount=amount, bow_out=amount > 0))
        return changed

    def advskew(self, value: int | None) -> None:
        self._say("advskew", SetAdvskew(advskew=value))

    def peers(self, addresses: Sequence[str]) -> None:
        self._say("peers", SetPeers(peers=list(addresses[:PEERS_MAX])))

    def _say(self, what: str, message: ToEngine) -> None:
        if self._asked.get(what) != message:
            self._asked[what] = message
            with contextlib.suppress(RuntimeError):  # the loop is closed: the engine is gone
                self._ask(message)
