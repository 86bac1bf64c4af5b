"""Keeps pods at what they are to carry: our own, and the workload pods of this node."""

from collections.abc import Callable
from logging import WARNING

from carpsidecar.logs import log
from carpsidecar.reporter.kubernetes.client import Api
from carpsidecar.reporter.kubernetes.desired import NOTHING, Marks, own, patch, workload
from carpsidecar.reporter.kubernetes.handover import FindStaying, followed
from carpsidecar.reporter.kubernetes.masters import Masters
from carpsidecar.reporter.kubernetes.objects import Pod
from carpsidecar.reporter.kubernetes.picture import Picture
from carpsidecar.reporter.kubernetes.pods import PodJob
from carpsidecar.reporter.kubernetes.retry import TokenBucket
from carpsidecar.reporter.kubernetes.store import Key, PodStore
from carpsidecar.reporter.kubernetes.writer import Job
from carpsidecar.reporter.stats import ApiStats

_PUT_BACKS, _PUT_BACK_EVERY_S = 5, 10.0
_REMEMBERED_MAX = 1024

Blocked = Callable[[str], float]


class Carrier:
    """Knows what was written, so that what somebody else changes is put back, but not in a fight without an end."""

    def __init__(self, api: Api, stats: ApiStats) -> None:
        self._api = api
        self._stats = stats
        self._written: dict[str, tuple[Marks, TokenBucket]] = {}
        """By the pod's uid: what was written last, and how often it may be put back."""

    def next(self, store: PodStore, pod: Pod, wanted: Marks, now: float, blocked: Blocked) -> Job | float | None:
        key = f"pod {pod.namespace}/{pod.name}"
        if patch(pod, wanted) is None:
            return None
        if (due_at := blocked(key)) > now:
            return due_at
        before, bucket = self._written.get(pod.uid) or (None, TokenBucket(_PUT_BACKS, _PUT_BACK_EVERY_S))
        put_back = before == wanted
        if put_back and (due_in_s := bucket.due_in_s(now)) > 0:
            return now + due_in_s

        def done(after: Pod | None, carries: bool) -> None:
            if after is None:
                store.remove(pod)
                self.forget(pod)
                return
            store.refresh(after)
            if carries:
                self._written.pop(pod.uid, None)
                self._written[pod.uid] = wanted, bucket
                if len(self._written) > _REMEMBERED_MAX:
                    del self._written[next(iter(self._written))]
                if put_back:
                    bucket.take(now)
                    text = f"{key}: somebody else changed its role; it is put back"
                    log(WARNING, "role_put_back", text, pod=pod.name)

        return PodJob(key, self._api, self._stats, pod, wanted, done)

    def forget(self, pod: Pod) -> None:
        self._written.pop(pod.uid, None)


class OwnPod:
    """A source of the writer."""

    def __init__(self, picture: Picture, carrier: Carrier, masters: Masters) -> None:
        self._picture = picture
        self._carrier = carrier
        self._masters = masters

    def next(self, now: float, blocked: Blocked) -> Job | float | None:
        pod, groups = self._picture.own, self._picture.groups
        if pod is None or not groups:
            return None
        if self._masters.doubted:
            # Marked as lost by another master; a machine that slept must first learn whether it still is one.
            if not self._picture.engine_alive():
                return None
            if (due_at := self._masters.contest(now)) > now:
                return due_at
        next_one = self._picture.successor
        nobody_follows = self._picture.stopping and next_one is not None and next_one.kubernetes is None
        wanted = NOTHING if nobody_follows else own(groups)
        return self._carrier.next(self._picture.kind, pod, wanted, now, blocked)


class WorkloadPods:
    """A source of the writer."""

    def __init__(self, picture: Picture, api: Api, carrier: Carrier) -> None:
        self._picture = picture
        self._api = api
        self._carrier = carrier

    def next(self, now: float, blocked: Blocked) -> Job | float | None:
        picture = self._picture
        if picture.stopping and (first := self._find_staying(now, blocked)) is not None:
            return first
        due_at: float | None = None
        for store, usual in self._stores():
            for pod in list(store):
                wanted = NOTHING if pod.finished else usual
                key = (pod.namespace, pod.name)
                if picture.kind.get(key) is not None or (picture.staying and key in picture.staying):
                    continue
                if store is picture.leaving and patch(pod, wanted) is None:
                    store.remove(pod)
                    self._carrier.forget(pod)
                    continue
                found = self._carrier.next(store, pod, wanted, now, blocked)
                if found is not None and not isinstance(found, float):
                    return found
                if found is not None:
                    due_at = found if due_at is None else min(due_at, found)
        return due_at

    def _find_staying(self, now: float, blocked: Blocked) -> Job | float | None:
        """None when it is known, or none stays."""
        picture = self._picture
        after = picture.successor.kubernetes if picture.successor else None
        if after is None or picture.staying is not None:
            return None
        if followed(after) == followed(picture.settings):
            picture.staying = frozenset((pod.namespace, pod.name) for pod in picture.workloads)
            return None
        job = FindStaying(self._api, after, picture.node_name, self._stay)
        return due_at if (due_at := blocked(job.key)) > now else job

    def _stay(self, pods: frozenset[Key]) -> None:
        self._picture.staying = pods

    def _stores(self) -> list[tuple[PodStore, Marks]]:
        """Which pods are to carry what; before the engine's first word nothing is known, and nothing is changed."""
        picture = self._picture
        stores = [(picture.leaving, NOTHING)]
        if picture.stopping:
            stores.insert(0, (picture.workloads, NOTHING))
        elif picture.groups and len(picture.workloads):
            stores.insert(0, (picture.workloads, workload(picture.groups)))
        return stores
