"""The reconcilers of our own pod and of this node's workload pods."""

import time

from carpsidecar.ipc.messages import KubernetesSettings
from carpsidecar.reporter.kubernetes.cache import Cache, Key, PodStore
from carpsidecar.reporter.kubernetes.client import Api, ApiError
from carpsidecar.reporter.kubernetes.masters import Masters
from carpsidecar.reporter.kubernetes.objects import Pod
from carpsidecar.reporter.kubernetes.pod_status import (
    NO_STATUS,
    PodStatus,
    desired_of_own_pod,
    desired_of_workload_pod,
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
        with self._cache.lock:
            pod, groups = self._cache.own, self._cache.groups
            if pod is None or not groups:
                return None
            if self._masters.claim_is_stale:
                # Another master marked ours; a machine that slept must first learn whether it still is one.
                if not self._cache.engine_alive():
                    return None
                if (wait_s := self._masters.renew_claim(time.monotonic())) > 0:
                    return wait_s
            successor = self._cache.successor
            is_last = self._cache.stopping and successor is not None and successor.kubernetes is None
            desired = NO_STATUS if is_last else desired_of_own_pod(groups)
        return self._writer.keep(self._cache.carp_pods, pod, desired)


class WorkloadPods:
    """Their keys are their namespace and name."""

    def __init__(self, cache: Cache, api: Api, writer: StatusWriter) -> None:
        self._cache = cache
        self._api = api
        self._writer = writer

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

    def find_kept(self, _: tuple[str, ...]) -> float | None:
        """Which of this node's workload pods the next reporter selects too, and so stay as they are.

        Raises: ApiError.
        """
        with self._cache.lock:
            successor = self._cache.successor
            settings = successor.kubernetes if successor is not None else None
            if settings is None or self._cache.kept is not None:
                return None
            if _selects(settings) == _selects(self._cache.settings):
                self._cache.kept = frozenset(pod.key for pod in self._cache.workloads)
                return None
            node = self._cache.node_name
        kept: set[Key] = set()
        query = {"labelSelector": settings.workload_selector, "fieldSelector": f"spec.nodeName={node}"}
        for namespace in workload_namespaces(settings):
            try:
                kept |= {pod.key for pod in list_pods(self._api, namespace, query)}
            except ApiError as error:
                # Malformed, or not allowed: the next reporter won't see them either, and reports it.
                if error.status not in (400, 403, 404):
                    raise
        with self._cache.lock:
            self._cache.kept = frozenset(kept)
        return None

    def _desired(self, store: PodStore, pod: Pod) -> PodStatus | None:
        """None where it is not ours to change; before the engine's first message nothing is known."""
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
        return desired_of_workload_pod(cache.groups) if cache.groups else None


def _selects(settings: KubernetesSettings) -> tuple[str, frozenset[str]]:
    """Which workload pods of the node."""
    return settings.workload_selector, frozenset(workload_namespaces(settings))
