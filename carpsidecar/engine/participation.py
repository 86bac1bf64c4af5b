"""Whether a group can and may take part in the election, and what it is called while it may not."""

import asyncio

from carpsidecar.config.group import GroupConfig
from carpsidecar.engine.group_log import GroupLog
from carpsidecar.engine.interface import Interface
from carpsidecar.engine.throttle import Reminder
from carpsidecar.engine.transmitter import Transmitter
from carpsidecar.ipc.messages import SetServiceAddress
from carpsidecar.member.actions import Role


class Participation:
    """Of one group."""

    def __init__(self, loop: asyncio.AbstractEventLoop, log: GroupLog) -> None:
        self.withheld = ""
        """Why the cluster wants it to take no part."""
        self.ineligible = ""
        """Why this node is not to serve it, where it is the address of Services: no trouble to anybody."""
        self._withheld_as: Role = "fault"
        self._reminder = Reminder(loop, log.still_waiting)

    def withhold(self, role: Role, text: str) -> None:
        """Take no part for this reason, and show this role; an empty text ends it."""
        self._withheld_as, self.withheld = role, text

    def decide(self, command: SetServiceAddress) -> None:
        """Whether this node is to serve these Services."""
        self.ineligible = "" if command.eligible else command.text or "this node is not eligible"

    def trouble(
        self, config: GroupConfig, interface: Interface, transmitter: Transmitter, peers_known: bool
    ) -> str:
        """Why it takes no part; empty where it does."""
        if interface.link is None:
            return f"interface {interface.name} is not there"
        if not interface.up and not config.ignore_link:
            return f"the link of {interface.name} is down"
        if not transmitter.sources:
            given = ", ".join(map(str, config.sources))
            return (
                f"source: {given} is no address of this machine: give one of {interface.name}"
                if given
                else f"{interface.name} has no address to advertise from"
            )
        if config.both_families and (missing := transmitter.missing_families):
            return f"{interface.name} has no {missing} address to advertise from, and both_families is set"
        if config.awaits_peers and not peers_known:
            return "the addresses of the other nodes are not known yet"
        return self.withheld or self.ineligible

    def role_shown(self, trouble: str) -> Role | None:
        """Instead of its own; None: its own."""
        if not trouble or trouble not in (self.withheld, self.ineligible):
            return None
        return self._withheld_as if trouble == self.withheld else "backup"

    def remind(self, trouble: str) -> None:
        """Log it again and again, for as long as it lasts."""
        self._reminder.about(trouble if trouble != self.ineligible else "")
