"""Brings a pod to its desired status, and the cache to what the server answers."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from logging import WARNING

from carpsidecar.logs import log
from carpsidecar.reporter.kubernetes.cache import PodStore
from carpsidecar.reporter.kubernetes.client import Api, ApiError, Timing
from carpsidecar.reporter.kubernetes.objects import Pod
from carpsidecar.reporter.kubernetes.pod_status import PodStatus, observed
from carpsidecar.reporter.kubernetes.pods import apply, get_pod, list_pods
from carpsidecar.reporter.kubernetes.ratelimit import TokenBucket
from carpsidecar.status.stats import ApiStats

_PUT_BACKS, _PUT_BACK_EVERY_S = 5, 10.0
_REMEMBERED_MAX = 1024


class StatusWriter:
    """Knows what it wrote, so that what somebody else changes is put back, but not in a fight without an end.

    Args: lock: the cache's; whoever calls does not hold it.
    """

    def __init__(self, api: Api, stats: ApiStats, lock: threading.RLock, timing: Timing) -> None:
        self._api = api
        self._stats = stats
        self._lock = lock
        self._timing = timing
        self._patience_s = timing.urgent_answer_s
        """A request that hangs is given up for a new one, soon; later where the server is merely slow."""
        self._written: dict[str, tuple[PodStatus, TokenBucket]] = {}
        """By the pod's uid: what was written last, and how often it may be put back."""

    def keep(self, store: PodStore, pod: Pod, desired: PodStatus) -> float | None:
        """Write it, and again whenever it was changed. Seconds after which to come again. Raises: ApiError."""
        if observed(pod) == desired:
            return None
        before, bucket = self._written.get(pod.uid) or (None, TokenBucket(_PUT_BACKS, _PUT_BACK_EVERY_S))
        put_back, now = before == desired, time.monotonic()
        if put_back and (due_in_s := bucket.due_in_s(now)) > 0:
            return due_in_s
        if self.write(store, pod, desired) is None:
            self.forget(pod)
            return None
        self._written.pop(pod.uid, None)
        self._written[pod.uid] = desired, bucket
        if len(self._written) > _REMEMBERED_MAX:
            del self._written[next(iter(self._written))]
        if put_back:
            bucket.take(now)
            text = f"pod {pod.namespace}/{pod.name}: somebody else changed its role; it is put back"
            log(WARNING, "role_put_back", text, pod=pod.name)
        return None

    def write(self, store: PodStore, pod: Pod, desired: PodStatus) -> Pod | None:
        """The pod as it is then; None where it is gone. Raises: ApiError: also where it has changed meanwhile."""
        after: Pod | None = None
        conflict: ApiError | None = None
        try:
            after = self.write_uncached(pod, desired)
        except ApiError as error:
            if error.status == 409:
                conflict = error
                after = get_pod(self._api, pod.namespace, pod.name, self._patience_s)
            elif error.status != 404:
                raise
        self._take(store, pod, after)
        if after is not None and conflict is not None:
            raise conflict
        return after

    def read(self, store: PodStore, pod: Pod) -> None:
        """Whatever a watch has shown of it. Raises: ApiError."""
        with self._patience():
            after = get_pod(self._api, pod.namespace, pod.name, self._patience_s)
        self._take(store, pod, after)

    def _take(self, store: PodStore, pod: Pod, after: Pod | None) -> None:
        with self._lock:
            if after is None:
                store.remove(pod)
            else:
                store.refresh(after)

    def write_uncached(self, pod: Pod, desired: PodStatus) -> Pod:
        """The pod as it is then. Raises: ApiError."""
        with self._patience():
            return apply(self._api, self._stats, pod, desired, self._patience_s)

    def list(self, namespace: str, query: Mapping[str, str]) -> list[Pod]:
        """By the server. Raises: ApiError."""
        with self._patience():
            return list_pods(self._api, namespace, query, self._patience_s)

    @contextmanager
    def _patience(self) -> Iterator[None]:
        try:
            yield
        except ApiError as error:
            if error.failure == "timeout":
                self._patience_s = min(2 * self._patience_s, self._timing.answer_s)
            raise
        self._patience_s = self._timing.urgent_answer_s

    def forget(self, pod: Pod) -> None:
        self._written.pop(pod.uid, None)
