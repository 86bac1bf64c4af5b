"""The events of role transitions, and of what the engine notices on the wire."""

import time
from collections.abc import Callable

from carpsidecar.ipc.messages import GroupSnapshot, Notice
from carpsidecar.reporter.kubernetes.cache import Cache
from carpsidecar.reporter.kubernetes.objects import ANNOTATIONS, Pod
from carpsidecar.reporter.kubernetes.pod_status import in_rfc3339
from carpsidecar.reporter.kubernetes.recorder import EventReason, EventRecorder

_REASONS: dict[str, EventReason] = {"master": "CarpMaster", "backup": "CarpBackup", "fault": "CarpFault"}
_STOPPED = "stopped"
_CONFLICTS_MAX = 64
HANDOVER_S = 2.0
"""A claim of the address by another machine so shortly before or after a transition of a member is part of it."""


class Transitions:
    """Records each role that is entered once; one that a former reporter recorded is on our pod already."""

    def __init__(self, cache: Cache, recorder: EventRecorder, enqueue: Callable[[], None]) -> None:
        self._cache = cache
        self._recorder = recorder
        self._enqueue = enqueue
        self._conflicts: list[tuple[float, Notice]] = []
        """Not recorded yet, by when they were noticed."""
        self._last: dict[str, tuple[str, float]] = {}
        self._drifts: dict[str, str] = {}
        self._first: list[GroupSnapshot] = []
        """The first snapshot of each group, until our pod shows whether it is new."""

    def group_changed(self, group: GroupSnapshot) -> None:
        """Called with the lock held, after the cache has it."""
        if group.drift and self._drifts.get(group.group) != group.drift:
            self._recorder.event("CarpConfigDiffers", f"{group.group}: {group.drift}: replace the pods for it")
        self._drifts[group.group] = group.drift
        before = self._last.get(group.group)
        self._last[group.group] = (group.role, group.since_s)
        if before is None and not any(first.group == group.group for first in self._first):
            self._first.append(group)
            self.pod_seen(self._cache.own)
        elif before != (group.role, group.since_s):
            self._record(group, before[0] if before is not None else "")

    def pod_seen(self, own: Pod | None) -> None:
        """Called with the lock held, before anything is written to our pod."""
        if own is None:
            return
        for group in self._first:
            suffix = self._cache.suffixes.get(group.group, "")
            if own.annotations.get(f"{ANNOTATIONS}since{suffix}") != in_rfc3339(group.since_s):
                self._record(group, "")
        self._first.clear()

    def noticed(self, notice: Notice) -> None:
        """Called with the lock held."""
        if notice.kind == "conflict":
            self._conflicts.append((time.monotonic(), notice))
            del self._conflicts[:-_CONFLICTS_MAX]
            self._enqueue()
        elif notice.kind == "bad_digest":
            self._record_notice("CarpBadDigest", notice)
        elif notice.kind == "config_differs":
            self._record_notice("CarpConfigDiffers", notice)

    def reconcile(self, _: tuple[str, ...]) -> float | None:
        """Record the conflicts that no hand-over explains, such as two members at once, of which one yields."""
        with self._cache.lock:
            now = time.monotonic()
            while self._conflicts and self._conflicts[0][0] + HANDOVER_S <= now:
                notice = self._conflicts.pop(0)[1]
                if not self._is_handover(notice):
                    self._record_notice("CarpConflict", notice)
            return self._conflicts[0][0] + HANDOVER_S - now if self._conflicts else None

    def _is_handover(self, notice: Notice) -> bool:
        """Whether another member changed its role then, or ours is no longer master."""
        suffix = self._cache.suffixes.get(notice.group, "")
        role, _ = self._last.get(notice.group, ("", 0.0))
        first, last = (in_rfc3339(notice.at_s + difference_s) for difference_s in (-HANDOVER_S, HANDOVER_S))
        others = (pod.annotations.get(f"{ANNOTATIONS}since{suffix}", "") for pod in self._cache.others)
        return role != "master" or any(first <= since <= last for since in others)

    def _record_notice(self, reason: EventReason, notice: Notice) -> None:
        # Who did it can be forged at will: it is recorded once, and what follows is a repeat.
        self._recorder.event(reason, f"{notice.group}: {notice.text}", notice.at_s)

    def _record(self, group: GroupSnapshot, before: str) -> None:
        reason = _REASONS.get(group.role)
        if reason is None and before in _REASONS and group.reason != _STOPPED:
            reason = "CarpFault"
        if reason is not None:
            self._recorder.event(reason, f"{group.group}: {group.role} now: {group.reason}", group.since_s)
