"""The event recorder: of our pod or of Services, the newest first, repeats as a series, at a limited rate."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import quote

from msgspec import Struct

from carpsidecar.reporter.kubernetes.cache import Cache
from carpsidecar.reporter.kubernetes.client import MERGE_PATCH, Api, ApiError, Request
from carpsidecar.reporter.kubernetes.objects import Pod
from carpsidecar.reporter.kubernetes.pod_status import in_rfc3339
from carpsidecar.reporter.kubernetes.ratelimit import TokenBucket
from carpsidecar.reporter.kubernetes.rbac import create_event, events_namespace, patch_event
from carpsidecar.status.stats import ApiStats

CONTROLLER = "carpsidecar.io/carpsidecar"
SERIES_S = 600.0
"""The same again within this time is a series."""
_NOTE_MAX = 1024
_PENDING_MAX = 64
_BURST, _EVERY_S = 20, 15.0
SERVICES_BUDGET = 300, 1.0
"""Of events of Services, of which there are many: how many at once, and seconds until another one may follow."""

EventReason = Literal[
    "CarpMaster",
    "CarpBackup",
    "CarpFault",
    "CarpConflict",
    "CarpSplitBrain",
    "CarpBadDigest",
    "CarpDemoted",
    "CarpBadSetting",
    "CarpConfigDiffers",
    "CarpAssigned",
    "CarpNoAddressLeft",
    "CarpAddressTaken",
    "CarpBadRequest",
    "CarpPoolGone",
    "CarpNotServed",
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
    "CarpConfigDiffers": "Wait",
    "CarpAssigned": "Assign",
    "CarpNoAddressLeft": "Wait",
    "CarpAddressTaken": "Wait",
    "CarpBadRequest": "Wait",
    "CarpPoolGone": "Report",
    "CarpNotServed": "Wait",
}
_NORMAL = ("CarpMaster", "CarpBackup", "CarpDemoted", "CarpAssigned")
_FROM_THE_WIRE = ("CarpConflict", "CarpBadDigest")


class About(Struct, frozen=True):
    """What an event is about, where that is not our own pod."""

    kind: str
    namespace: str
    name: str
    uid: str


_Key = tuple[EventReason, str, About | None]
"""The reason, the note, and what it is about: what is the same is a repeat."""


class _Pending(Struct):
    """Not written yet: how often it happened, first and last, in seconds since the epoch."""

    reason: EventReason
    note: str
    about: About | None
    first_s: float
    last_s: float
    count: int = 1
    name: str = ""


class _Written(Struct):
    name: str
    count: int
    last_s: float


class EventRecorder:
    """Args:
    enqueue: called when there is something to write.
    budget: how many at once, and seconds until another one may follow.
    """

    def __init__(
        self,
        cache: Cache,
        api: Api,
        stats: ApiStats,
        enqueue: Callable[[], None],
        budget: tuple[int, float] = (_BURST, _EVERY_S),
    ) -> None:
        self._cache = cache
        self._api = api
        self._stats = stats
        self._enqueue = enqueue
        self._pending: OrderedDict[_Key, _Pending] = OrderedDict()
        """The newest last."""
        self._written: OrderedDict[_Key, _Written] = OrderedDict()
        burst, every_s = budget
        self._kept_max = max(_PENDING_MAX, burst)
        self._ours = TokenBucket(burst, every_s)
        self._strangers = TokenBucket(burst // 4, 4 * every_s)
        """What strangers cause must not use up what our own state needs."""

    def event(self, reason: EventReason, note: str, at_s: float | None = None, about: About | None = None) -> None:
        """With the cache's lock held."""
        at_s = time.time() if at_s is None else at_s
        where = f"{self._cache.node_name or 'an unknown node'}, pod {self._cache.settings.pod_name}"
        key = (reason, f"{note[: _NOTE_MAX - 400]} (node {where})", about)
        pending = self._pending.get(key)
        if pending is None:
            self._pending[key] = _Pending(*key, first_s=at_s, last_s=at_s)
            if len(self._pending) > self._kept_max:
                self._pending.popitem(last=False)
        else:
            pending.count += 1
            pending.last_s = at_s
            self._pending.move_to_end(key)
        self._enqueue()

    def reconcile(self, _: tuple[str, ...]) -> float | None:
        """Write the newest, a new event or one more of a series. Raises: ApiError."""
        now = time.monotonic()
        with self._cache.lock:
            pod = self._cache.own
            if not self._pending or pod is None:
                return None
            due = [one for one in reversed(self._pending.values()) if self._bucket(one).due_in_s(now) <= 0]
            if not due:
                return min(self._bucket(one).due_in_s(now) for one in self._pending.values())
            pending = due[0]
            count = pending.count
            written = self._written.get(_key(pending))
            series = written if written is not None and pending.last_s - written.last_s < SERIES_S else None
        if series is None:
            self._create(pod, pending, count)
        elif not self._continue(series, pending, count):
            # It is no longer there: it is created anew.
            with self._cache.lock:
                del self._written[_key(pending)]
            return 0.0
        with self._cache.lock:
            self._bucket(pending).take(now)
            self._note_written(pending, count, series)
            return 0.0 if self._pending else None

    def _create(self, pod: Pod, pending: _Pending, count: int) -> None:
        # Given once: an attempt whose answer was lost is refused when it is repeated, and is not written twice.
        named = pod.name if pending.about is None else pending.about.name
        pending.name = pending.name or f"{named[:200]}.{time.time_ns():x}"
        body = event_of(pod, pending, count)
        rule = create_event(events_namespace(self._cache.settings))
        try:
            self._api.call(Request("POST", self._path(pending), rule, body=body))
        except ApiError as error:
            if error.status != 409 and not _is_of_the_past(pending, error):
                raise

    def _continue(self, series: _Written, pending: _Pending, count: int) -> bool:
        """False where the event is gone."""
        body = {"series": {"count": series.count + count, "lastObservedTime": in_rfc3339(pending.last_s)}}
        rule = patch_event(events_namespace(self._cache.settings))
        path = f"{self._path(pending)}/{series.name}"
        try:
            self._api.call(Request("PATCH", path, rule, body=body, content_type=MERGE_PATCH))
        except ApiError as error:
            if error.status != 404:
                raise
            return False
        return True

    def _note_written(self, pending: _Pending, count: int, series: _Written | None) -> None:
        self._stats.writes["event"] += 1
        key = _key(pending)
        name, before = (series.name, series.count) if series is not None else (pending.name, 0)
        self._written[key] = _Written(name, before + count, pending.last_s)
        self._written.move_to_end(key)
        if len(self._written) > self._kept_max:
            self._written.popitem(last=False)
        if self._pending.get(key) is pending:
            # It may have happened again while this was written.
            pending.count -= count
            if pending.count <= 0:
                del self._pending[key]

    def _bucket(self, pending: _Pending) -> TokenBucket:
        return self._strangers if pending.reason in _FROM_THE_WIRE else self._ours

    def _path(self, pending: _Pending) -> str:
        about = pending.about
        namespace = quote(about.namespace if about else self._cache.settings.pod_namespace, safe="")
        return f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"


def _is_of_the_past(pending: _Pending, error: ApiError) -> bool:
    """Whether the namespace that it belongs into is gone, or is going."""
    is_going = error.status == 403 and "because it is being terminated" in str(error)
    return pending.about is not None and (is_going or error.status == 404)


def _key(pending: _Pending) -> _Key:
    return pending.reason, pending.note, pending.about


def event_of(pod: Pod, pending: _Pending, count: int) -> dict[str, Any]:
    """A new event, of API group events.k8s.io, version v1."""
    about = pending.about or About("Pod", pod.namespace, pod.name, pod.uid)
    event: dict[str, Any] = {
        "metadata": {"name": pending.name, "namespace": about.namespace},
        "eventTime": in_rfc3339(pending.first_s),
        "reportingController": CONTROLLER,
        "reportingInstance": pod.name[:128],
        "action": _ACTIONS[pending.reason],
        "reason": pending.reason,
        "note": pending.note,
        "type": "Normal" if pending.reason in _NORMAL else "Warning",
        "regarding": {
            "apiVersion": "v1",
            "kind": about.kind,
            "namespace": about.namespace,
            "name": about.name,
            "uid": about.uid,
        },
    }
    if count > 1:
        event["series"] = {"count": count, "lastObservedTime": in_rfc3339(pending.last_s)}
    return event
