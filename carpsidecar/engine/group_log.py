"""A group's lines in the log, at most as often as somebody can read them."""

import asyncio
from logging import ERROR, INFO, WARNING
from typing import Any

from carpsidecar.engine.throttle import Throttle
from carpsidecar.logs import in_words, log
from carpsidecar.member.actions import (
    AddressesFailed,
    AddressesLost,
    DemotionChanged,
    RoleChanged,
    Stalled,
    Waiting,
)

_EVERY_S = 60.0
_BURST = 10


class GroupLog:
    """Lines of one group on its interface."""

    def __init__(self, loop: asyncio.AbstractEventLoop, group: str, interface: str) -> None:
        self.group = group
        self.interface = interface
        self._loop = loop
        self._throttle = Throttle(_EVERY_S, _BURST)

    def log(self, level: int, event: str, message: str, **keys: Any) -> None:
        log(level, event, message, group=self.group, interface=self.interface, **keys)

    def log_sometimes(self, level: int, event: str, message: str, about: bytes = b"", **keys: Any) -> bool:
        """For what may happen with every packet; once in a while for each thing that it is about. Whether now."""
        if self._throttle.allow(self._loop.time(), (event, about)) is None:
            return False
        self.log(level, event, message, **keys)
        return True

    def still_waiting(self, why: str) -> None:
        self.log(WARNING, "waiting", f"still waiting: {why}")

    def report(
        self, what: RoleChanged | Waiting | Stalled | DemotionChanged | AddressesLost | AddressesFailed
    ) -> None:
        match what:
            case RoleChanged(role=role, text=reason):
                peer = str(what.peer) if what.peer else None
                message = f"became {role}: {reason}" + (f" ({peer})" if peer else "")
                self.log(INFO, "transition", message, role=role, reason=reason, peer=peer)
            case Waiting(why=why, at_start=at_start):
                self.log(WARNING, "waiting", f"waiting: {why}" if at_start else f"can't take part: {why}")
            case Stalled(late_s=late_s):
                message = f"this machine did not run us for {late_s:.3g} s: listens for an interval more"
                self.log_sometimes(INFO, "stalled", message, late_s=late_s)
            case DemotionChanged(cause=cause, amount=amount, text=text):
                message = f"demotion by {cause}: {amount}" + (f" ({text})" if text else "")
                self.log(INFO, "demotion", message, cause=cause, amount=amount, text=text)
            case AddressesLost(lost=lost):
                names = ", ".join(sorted(map(str, lost)))
                message = f"somebody removed {names} while we are master: put back"
                self.log_sometimes(WARNING, "address_put_back", message)
            case AddressesFailed(error=error):
                message = f"the addresses can't be held: {in_words(error)}"
                self.log_sometimes(ERROR, "addresses_failed", message)
