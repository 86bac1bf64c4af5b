"""The reconcilers of our own pod and of the workload pods."""

import time
from collections.abc import Callable
from logging import INFO, WARNING

from carpsidecar.ipc.messages import GroupSnapshot
from carpsidecar.ipc.settings import KubernetesSettings
from carpsidecar.logs import log
from carpsidecar.reporter.kubernetes.cache import Cache, Key, PodStore
from carpsidecar.reporter.kubernetes.client import Api, ApiError, Timing
from carpsidecar.reporter.kubernetes.engine_requests import workload_state
from carpsidecar.reporter.kubernetes.masters import Masters
from carpsidecar.reporter.kubernetes.objects import ROLE_LABEL, Pod
from carpsidecar.reporter.kubernetes.pod_status import (
    NO_STATUS,
    PodStatus,
    desired_of_own_pod,
    desired_of_workload_pod,
    unknown,
)
from carpsidecar.reporter.kubernetes.pods import list_pods
from carpsidecar.reporter.kubernetes.rbac import workload_namespaces
from carpsidecar.reporter.kubernetes.status_writer import StatusWriter


class OwnPod:
    def __init__(self, cache: Cache, writer: StatusWriter, masters: Masters) -> None:
        self._cache = cache
        self._writer = writer
        self._masters = masters

    def reconcile(self, _: tuple[str, ...]) -> float | None:
        """Raises: ApiError."""
        wait_s, claim_waits = self._masters.clear_claims()
        if claim_waits:
            return wait_s
        with self._cache.lock:
            pod, groups, now = self._cache.own, self._cache.groups, time.monotonic()
            if pod is None or not groups:
                return None
            if (settle_in_s := self._masters.settle_in_s(now)) > 0:
                return settle_in_s if settle_in_s < float("inf") else None
            successor = self._cache.successor
            is_last = self._cache.stopping and successor is not None and successor.kubernetes is None
            desired = NO_STATUS if is_last else self._desired(groups, now)
            if self._masters.returns:
                # Another member changed it, and it is no fight about it.
                self._writer.forget(pod)
        put_back_in_s = self._writer.keep(self._cache.carp_pods, pod, desired)
        return min((wait for wait in (wait_s, put_back_in_s) if wait is not None), default=None)

    def _desired(self, groups: list[GroupSnapshot], now: float) -> PodStatus:
        return desired_of_own_pod(groups, self._masters.contested(now), workload_state(self._cache))


class WorkloadPods:
    """Their keys are their namespace and name. Args: enqueue_all: called when all may be written anew."""

    def __init__(
        self,
        cache: Cache,
        api: Api,
        writer: StatusWriter,
        masters: Masters,
        timing: Timing,
        enqueue_all: Callable[[], None],
    ) -> None:
        self._cache = cache
        self._api = api
        self._writer = writer
        self._masters = masters
        self._timing = timing
        self._enqueue_all = enqueue_all
        self._cleared: dict[str, float] = {}
        """By group: since when we are master where no other node's workload pod is labelled so any more."""

    @property
    def keys(self) -> set[Key]:
        """Of all that there may be something to do for."""
        return {pod.key for store in (self._cache.workloads, self._cache.deselected) for pod in store}

    def reconcile(self, key: tuple[str, ...]) -> float | None:
        """Raises: ApiError."""
        namespace, name = key
        requeue_after_s = None
        for store in (self._cache.workloads, self._cache.deselected):
            with self._cache.lock:
                pod = store.get((namespace, name))
                desired = self._desired(store, pod) if pod is not None else None
            if pod is None or desired is None:
                continue
            wait_s = self._writer.keep(store, pod, desired)
            if store is self._cache.deselected and wait_s is None:
                with self._cache.lock:
                    store.remove(pod)
                self._writer.forget(pod)
            requeue_after_s = wait_s if requeue_after_s is None else requeue_after_s
        return requeue_after_s

    def clear_other_nodes(self, key: tuple[str, ...]) -> float | None:
        """Once we claim a group: take its label off the workload pods of other nodes, before ours get it.

        Raises: ApiError.
        """
        [name] = key
        with self._cache.lock:
            group = next((group for group in self._cache.groups if group.group == name), None)
            own, node, settings = self._cache.own, self._cache.node_name, self._cache.settings
            if group is None or own is None or not self._masters.has_claimed(own, name):
                self._cleared.pop(name, None)
                return None
            if self._cleared.get(name) == group.since_s or self._cache.stopping:
                return None
            suffix = self._cache.suffixes[name]
        reason = f"{own.name} on {node} became master"
        query = {"labelSelector": f"{settings.workload_selector},{ROLE_LABEL}{suffix}=master"}
        for namespace in workload_namespaces(settings):
            others = [pod for pod in self._writer.list(namespace, query) if pod.node != node]
            if others and self._masters.hands_over(name, time.monotonic()):
                return self._timing.handover_s / 2
            for pod in others:
                self._mark(pod, name, suffix, reason)
        with self._cache.lock:
            self._cleared[name] = group.since_s
        self._enqueue_all()
        return None

    def find_kept(self, _: tuple[str, ...]) -> float | None:
        """Which of this node's workload pods the next reporter selects too, and so stay as they are.

        Raises: ApiError.
        """
        with self._cache.lock:
            successor = self._cache.successor
            settings = successor.kubernetes if successor is not None else None
            if settings is None or self._cache.kept is not None:
                return None
            same = _selects(settings) == _selects(self._cache.settings)
            kept = {pod.key for pod in self._cache.workloads} if same else set()
            node = self._cache.node_name
        query = {"labelSelector": settings.workload_selector, "fieldSelector": f"spec.nodeName={node}"}
        for namespace in () if same else workload_namespaces(settings):
            try:
                kept |= {pod.key for pod in list_pods(self._api, namespace, query)}
            except ApiError as error:
                # Malformed, or not allowed: the next reporter won't see them either, and reports it.
                if error.status not in (400, 403, 404):
                    raise
        with self._cache.lock:
            self._cache.kept = frozenset(kept)
        self._enqueue_all()
        return None

    def _mark(self, pod: Pod, name: str, suffix: str, reason: str) -> None:
        """Raises: ApiError: where the server is away."""
        try:
            self._writer.write_uncached(pod, unknown(pod, suffix, reason, time.time()))
        except ApiError as error:
            if error.of_all:
                raise
            # One that has just changed is written by its own node's reporter.
            if error.status not in (404, 409):
                log(WARNING, "mark_failed", f"pod {pod.namespace}/{pod.name} can't be marked: {error}", group=name)
        else:
            log(
                INFO,
                "marked_unknown",
                f"pod {pod.namespace}/{pod.name} on {pod.node} was labelled master: it is marked",
                group=name,
            )

    def _desired(self, store: PodStore, pod: Pod) -> PodStatus | None:
        """None where it is not ours to change, or not yet; before the engine's first message nothing is known."""
        cache = self._cache
        if cache.carp_pods.get(pod.key) is not None:
            return None
        if cache.stopping:
            has_successor = cache.successor is not None and cache.successor.kubernetes is not None
            if has_successor and (cache.kept is None or pod.key in cache.kept):
                return None
            return NO_STATUS
        if pod.finished or store is cache.deselected:
            return NO_STATUS
        contested = self._masters.contested(time.monotonic())
        claims = [group for group in cache.groups if group.role == "master" and group.group not in contested]
        if not cache.groups or any(self._cleared.get(group.group) != group.since_s for group in claims):
            return None
        return desired_of_workload_pod(cache.groups, contested)


def _selects(settings: KubernetesSettings) -> tuple[str, frozenset[str]]:
    """Which workload pods of the node."""
    return settings.workload_selector, frozenset(workload_namespaces(settings))
