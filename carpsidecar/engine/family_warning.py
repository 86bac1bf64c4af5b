"""A group of both families on a node that has an address to advertise from in one of them only.

FreeBSD and OpenBSD keep a timer for each family: what they hear over one does not stop them from taking over in the
other. Between members that are carpsidecar it does no harm.
"""

from logging import WARNING

from carpsidecar.config.group import GroupConfig
from carpsidecar.engine.group_log import GroupLog
from carpsidecar.engine.transmitter import Transmitter


class FamilyWarning:
    """What is to be known of one group."""

    def __init__(self, log: GroupLog) -> None:
        self.texts: list[str] = []
        self._log = log

    def settle(self, config: GroupConfig, transmitter: Transmitter) -> bool:
        """Look again, and log what is new; whether something is."""
        missing = transmitter.missing_families
        warns = bool(missing and transmitter.sources) and config.auth == "carp"
        text = (
            f"{self._log.interface} has no {missing} address to advertise from: FreeBSD and OpenBSD wait for"
            f" advertisements over {missing}, too, and take over again and again; give it one, set both_families,"
            " or make a group for each family"
        )
        before, self.texts = self.texts, [text] if warns else []
        if warns and self.texts != before:
            self._log.log(WARNING, "family_missing", text)
        return self.texts != before
