"""Which events the engine's messages are worth."""

from carpsidecar.ipc.messages import GroupSnapshot, Notice
from carpsidecar.reporter.kubernetes.desired import in_rfc3339
from carpsidecar.reporter.kubernetes.events import EventReason, Events
from carpsidecar.reporter.kubernetes.objects import ANNOTATIONS, Pod
from carpsidecar.reporter.kubernetes.picture import Picture

_REASONS: dict[str, EventReason] = {"master": "CarpMaster", "backup": "CarpBackup", "fault": "CarpFault"}
_NOTICES: dict[str, EventReason] = {"conflict": "CarpConflict", "bad_digest": "CarpBadDigest"}
_STOPPED = "stopped"


class Transitions:
    """Says each role that is entered once; one that a former reporter has said is on our pod already."""

    def __init__(self, picture: Picture, events: Events) -> None:
        self._picture = picture
        self._events = events
        self._last: dict[str, tuple[str, float]] = {}
        self._first: list[GroupSnapshot] = []
        """The first word of each group, until our pod shows whether it is news."""

    def heard(self, group: GroupSnapshot) -> None:
        """Called with the lock held, after the picture shows it."""
        before = self._last.get(group.group)
        self._last[group.group] = (group.role, group.since_s)
        if before is None and not any(first.group == group.group for first in self._first):
            self._first.append(group)
            self.pod_seen(self._picture.own)
        elif before != (group.role, group.since_s):
            self._say(group, before[0] if before is not None else "")

    def pod_seen(self, own: Pod | None) -> None:
        """Called with the lock held, before anything is written to our pod."""
        if own is None:
            return
        for group in self._first:
            suffix = self._picture.suffixes.get(group.group, "")
            if own.annotations.get(f"{ANNOTATIONS}since{suffix}") != in_rfc3339(group.since_s):
                self._say(group, "")
        self._first.clear()

    def noticed(self, notice: Notice) -> None:
        """Called with the lock held."""
        reason = _NOTICES.get(notice.kind)
        if reason is not None:
            # Who did it can be forged at will: it is told once, and what follows is a repeat.
            self._events.say(reason, f"{notice.group}: {notice.text}", notice.at_s)

    def _say(self, group: GroupSnapshot, before: str) -> None:
        reason = _REASONS.get(group.role)
        if reason is None and before in _REASONS and group.reason != _STOPPED:
            reason = "CarpFault"
        if reason is not None:
            self._events.say(reason, f"{group.group}: {group.role} now: {group.reason}", group.since_s)
