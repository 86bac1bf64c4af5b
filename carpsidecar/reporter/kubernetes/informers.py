"""The informers' handlers: they fill the cache, each in its reflector's thread, and name what has changed."""

import time
from collections.abc import Callable, Iterable
from logging import ERROR, WARNING

from carpsidecar.logs import log
from carpsidecar.reporter.kubernetes.cache import Cache, Key
from carpsidecar.reporter.kubernetes.client import Api, ApiError
from carpsidecar.reporter.kubernetes.objects import Node, Pod
from carpsidecar.reporter.kubernetes.pods import get_pod
from carpsidecar.reporter.kubernetes.ratelimit import LogLimiter
from carpsidecar.reporter.kubernetes.reflector import Reflector

Changed = Callable[[Iterable[Key]], None]
"""Called, with the lock held, after something in the cache has changed; with the workload pods that did."""
BadSetting = Callable[[str], None]
"""Called, with the lock held, with what is wrong with a setting."""


class Informer:
    """What all have in common: logging what fails, and reporting a malformed selector."""

    def __init__(self, cache: Cache, changed: Changed, bad_setting: BadSetting, what: str) -> None:
        self._cache = cache
        self._changed = changed
        self._bad_setting = bad_setting
        self._what = what
        self._log_limiter = LogLimiter()

    def failed(self, error: ApiError) -> None:
        if not self._log_limiter.due(time.monotonic(), (error.failure, error.status)):
            return
        level = ERROR if error.failure in ("forbidden", "unauthorized") else WARNING
        log(level, "watch_failed", f"watching {self._what}: {error}", failure=error.failure)
        if error.status == 400 and error.verb == "list":
            self._report_bad_setting(f"{self._what}: {error}")

    def _report_bad_setting(self, text: str) -> None:
        log(ERROR, "bad_setting", text)
        with self._cache.lock:
            self._bad_setting(text)


class CarpPods(Informer):
    """The DaemonSet's pods. `reflector` is set before it starts."""

    reflector: Reflector[Pod]

    def __init__(self, cache: Cache, changed: Changed, bad_setting: BadSetting, api: Api) -> None:
        super().__init__(cache, changed, bad_setting, f"pods by pod_selector {cache.settings.pod_selector!r}")
        self._api = api

    def query(self) -> dict[str, str]:
        """Only our own where there is no selector."""
        selector = self._cache.settings.pod_selector
        return {"labelSelector": selector} if selector else self._only_own

    @property
    def _only_own(self) -> dict[str, str]:
        return {"fieldSelector": f"metadata.name={self._cache.settings.pod_name}"}

    def listed(self, objects: Iterable[Pod]) -> None:
        settings = self._cache.settings
        pods = list(objects)
        if not any(pod.name == settings.pod_name for pod in pods):
            own = get_pod(self._api, settings.pod_namespace, settings.pod_name)
            if own is not None:
                pods = [own]
                self._watch_only_own(f"pod_selector {settings.pod_selector!r} does not select our own pod")
            elif self._log_limiter.due(time.monotonic(), "missing"):
                which = f"{settings.pod_name} in namespace {settings.pod_namespace}"
                log(ERROR, "no_pod", f"there is no pod {which}: check pod_name and pod_namespace")
        with self._cache.lock:
            self._cache.carp_pods.replace(settings.pod_namespace, pods)
            self._cache.carp_pods_listed = True
            self._changed(())

    def changed(self, one: Pod) -> None:
        with self._cache.lock:
            self._cache.carp_pods.put(one)
            self._changed(())

    def deleted(self, one: Pod) -> None:
        with self._cache.lock:
            self._cache.carp_pods.remove(one)
            self._changed(())
        if one.name == self._cache.settings.pod_name:
            log(WARNING, "pod_gone", f"our pod {one.namespace}/{one.name} was deleted, or is not selected any more")

    def failed(self, error: ApiError) -> None:
        super().failed(error)
        if error.status == 400 and error.verb == "list" and self.reflector.query != self._only_own:
            self._watch_only_own(f"pod_selector {self._cache.settings.pod_selector!r} can't be used")

    def _watch_only_own(self, why: str) -> None:
        self.reflector.query = self._only_own
        self._report_bad_setting(f"{why}: the other nodes' pods are not watched")


class WorkloadPods(Informer):
    """The workload pods of this node, in one namespace."""

    def __init__(self, cache: Cache, changed: Changed, bad_setting: BadSetting, namespace: str) -> None:
        selector = cache.settings.workload_selector
        super().__init__(cache, changed, bad_setting, f"pods by workload_selector {selector!r} in {namespace}")
        self._namespace = namespace

    def query(self) -> dict[str, str]:
        node = self._cache.node_name
        return {"labelSelector": self._cache.settings.workload_selector, "fieldSelector": f"spec.nodeName={node}"}

    def listed(self, objects: Iterable[Pod]) -> None:
        pods = list(objects)
        with self._cache.lock:
            gone = self._cache.workloads.replace(self._namespace, pods)
            for pod in gone:
                self._cache.deselected.put(pod)
            self._cache.workloads_listed.add(self._namespace)
            self._changed(pod.key for pod in (*pods, *gone))

    def changed(self, one: Pod) -> None:
        with self._cache.lock:
            self._cache.workloads.put(one)
            self._cache.deselected.remove(one)
            self._changed((one.key,))

    def deleted(self, one: Pod) -> None:
        with self._cache.lock:
            self._cache.workloads.remove(one)
            if not one.leaving:
                # It may be there still, and only be selected no more; the write shows which.
                self._cache.deselected.put(one)
            self._changed((one.key,))


class OwnNode(Informer):
    def __init__(self, cache: Cache, changed: Changed, bad_setting: BadSetting) -> None:
        super().__init__(cache, changed, bad_setting, f"node {cache.node_name}")

    def query(self) -> dict[str, str]:
        return {"fieldSelector": f"metadata.name={self._cache.node_name}"}

    def listed(self, objects: Iterable[Node]) -> None:
        node = next(iter(objects), None)
        if node is not None:
            self.changed(node)
        elif self._log_limiter.due(time.monotonic(), "missing"):
            self._report_bad_setting(
                f"there is no node {self._cache.node_name}: check node_name; it is neither cordoned nor labelled"
            )

    def changed(self, one: Node) -> None:
        with self._cache.lock:
            self._cache.node = one
            self._changed(())

    def deleted(self, one: Node) -> None:
        """Its last version stays: a node that is taken out of the cluster may come back."""
