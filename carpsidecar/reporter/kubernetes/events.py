"""What is told to people as events of our pod: the newest first, repeats as a series, at a limited rate."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from carpsidecar.reporter.kubernetes.client import MERGE_PATCH, Api, ApiError, Request
from carpsidecar.reporter.kubernetes.desired import in_rfc3339
from carpsidecar.reporter.kubernetes.objects import Pod
from carpsidecar.reporter.kubernetes.picture import Picture
from carpsidecar.reporter.kubernetes.rbac import create_event, patch_event
from carpsidecar.reporter.kubernetes.retry import TokenBucket
from carpsidecar.reporter.kubernetes.writer import Done, Job
from carpsidecar.reporter.stats import ApiStats

CONTROLLER = "carpsidecar.io/carpsidecar"
SERIES_S = 600.0
"""The same again within this time is a series."""
_NOTE_MAX = 1024
_PENDING_MAX = 64
_BURST, _EVERY_S = 20, 15.0

EventReason = Literal[
    "CarpMaster",
    "CarpBackup",
    "CarpFault",
    "CarpConflict",
    "CarpSplitBrain",
    "CarpBadDigest",
    "CarpDemoted",
    "CarpBadSetting",
]
_ACTIONS: dict[EventReason, str] = {
    "CarpMaster": "TakeOver",
    "CarpBackup": "StandBy",
    "CarpFault": "StandBy",
    "CarpConflict": "Announce",
    "CarpSplitBrain": "Report",
    "CarpBadDigest": "Drop",
    "CarpDemoted": "Demote",
    "CarpBadSetting": "Ignore",
}
_NORMAL = ("CarpMaster", "CarpBackup", "CarpDemoted")
_FROM_THE_WIRE = ("CarpConflict", "CarpBadDigest")

_Key = tuple[EventReason, str]


@dataclass(slots=True)
class _Pending:
    """Not said yet: how often it happened, first and last, in seconds since the epoch."""

    reason: EventReason
    note: str
    first_s: float
    last_s: float
    count: int = 1
    name: str = ""


@dataclass(slots=True)
class _Said:
    name: str
    count: int
    last_s: float


@dataclass
class _Buckets:
    """What strangers cause must not use up what our own state needs."""

    ours: TokenBucket = field(default_factory=lambda: TokenBucket(_BURST, _EVERY_S))
    strangers: TokenBucket = field(default_factory=lambda: TokenBucket(_BURST // 4, 4 * _EVERY_S))

    def of(self, reason: EventReason) -> TokenBucket:
        return self.strangers if reason in _FROM_THE_WIRE else self.ours


class Events:
    """A source of the writer."""

    def __init__(self, picture: Picture, api: Api, stats: ApiStats) -> None:
        self._picture = picture
        self._api = api
        self._stats = stats
        self._pending: OrderedDict[_Key, _Pending] = OrderedDict()
        """The newest last."""
        self._said: OrderedDict[_Key, _Said] = OrderedDict()
        self._buckets = _Buckets()

    def say(self, reason: EventReason, note: str, at_s: float | None = None) -> None:
        """Called with the lock held."""
        at_s = time.time() if at_s is None else at_s
        settings = self._picture.settings
        where = f"{self._picture.node_name or 'an unknown node'}, pod {settings.pod_name}"
        key = (reason, f"{note[: _NOTE_MAX - 400]} (node {where})")
        pending = self._pending.get(key)
        if pending is None:
            self._pending[key] = _Pending(*key, first_s=at_s, last_s=at_s)
            if len(self._pending) > _PENDING_MAX:
                self._pending.popitem(last=False)
        else:
            pending.count += 1
            pending.last_s = at_s
            self._pending.move_to_end(key)
        self._picture.lock.notify_all()

    def next(self, now: float, blocked: Callable[[str], float]) -> Job | float | None:
        pod = self._picture.own
        if not self._pending or pod is None:
            return None
        if (due_at := blocked("events")) > now:
            return due_at
        waits: list[float] = []
        for key, pending in reversed(self._pending.items()):
            wait_s = self._buckets.of(pending.reason).due_in_s(now)
            if wait_s <= 0:
                return EventJob(self, pod, key, pending, pending.count, self._series_of(key, pending), now)
            waits.append(now + wait_s)
        return min(waits)

    def _series_of(self, key: _Key, pending: _Pending) -> _Said | None:
        said = self._said.get(key)
        return said if said is not None and pending.last_s - said.last_s < SERIES_S else None

    def write(self, job: "EventJob") -> None:
        """Without the lock. Raises: ApiError."""
        namespace = self._picture.settings.pod_namespace
        path = f"/apis/events.k8s.io/v1/namespaces/{quote(namespace, safe='')}/events"
        if job.series is not None:
            series = {"count": job.series.count + job.count, "lastObservedTime": in_rfc3339(job.pending.last_s)}
            path += f"/{job.series.name}"
            rule = patch_event(namespace)
            self._api.call(Request("PATCH", path, rule, body={"series": series}, content_type=MERGE_PATCH))
        else:
            self._api.call(Request("POST", path, create_event(namespace), body=body(job)))

    def written(self, job: "EventJob") -> None:
        """With the lock."""
        self._buckets.of(job.pending.reason).take(job.made_at)
        self._stats.writes["event"] += 1
        before = job.series.count if job.series is not None else 0
        name = job.series.name if job.series is not None else job.pending.name
        self._said[job.of] = _Said(name, before + job.count, job.pending.last_s)
        self._said.move_to_end(job.of)
        if len(self._said) > _PENDING_MAX:
            self._said.popitem(last=False)
        pending = self._pending.get(job.of)
        if pending is job.pending:
            # It may have happened again while this was written.
            pending.count -= job.count
            if pending.count <= 0:
                del self._pending[job.of]

    def forget(self, job: "EventJob") -> None:
        """With the lock: the event is no longer there; it is said anew."""
        self._said.pop(job.of, None)


@dataclass(frozen=True)
class EventJob:
    """Say it for the first time, or that it happened again."""

    events: Events
    pod: Pod
    of: _Key
    pending: _Pending
    count: int
    series: _Said | None
    made_at: float

    @property
    def key(self) -> str:
        return "events"

    def run(self) -> Done:
        """Raises: ApiError."""
        # Given once: an attempt whose answer was lost is refused when it is repeated, and is not said twice.
        self.pending.name = self.pending.name or f"{self.pod.name[:200]}.{time.time_ns():x}"
        try:
            self.events.write(self)
        except ApiError as error:
            if self.series is not None and error.status == 404:
                return lambda: self.events.forget(self)
            if self.series is None and error.status == 409:
                return lambda: self.events.written(self)
            raise
        return lambda: self.events.written(self)


def body(job: EventJob) -> dict[str, Any]:
    """A new event, of API group events.k8s.io, version v1."""
    pod, pending = job.pod, job.pending
    event: dict[str, Any] = {
        "metadata": {"name": pending.name, "namespace": pod.namespace},
        "eventTime": in_rfc3339(pending.first_s),
        "reportingController": CONTROLLER,
        "reportingInstance": pod.name[:128],
        "action": _ACTIONS[pending.reason],
        "reason": pending.reason,
        "note": pending.note,
        "type": "Normal" if pending.reason in _NORMAL else "Warning",
        "regarding": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": pod.namespace,
            "name": pod.name,
            "uid": pod.uid,
        },
    }
    if job.count > 1:
        event["series"] = {"count": job.count, "lastObservedTime": in_rfc3339(pending.last_s)}
    return event
