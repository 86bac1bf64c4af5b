"""What becomes of what the watches show: it is put into the picture, in the watch's thread."""

import time
from collections.abc import Callable, Iterable
from logging import ERROR, WARNING

from carpsidecar.logs import log
from carpsidecar.reporter.kubernetes.client import Api, ApiError
from carpsidecar.reporter.kubernetes.objects import Node, Pod
from carpsidecar.reporter.kubernetes.picture import Picture
from carpsidecar.reporter.kubernetes.pods import find
from carpsidecar.reporter.kubernetes.retry import Once
from carpsidecar.reporter.kubernetes.watch import Watch

Changed = Callable[[], None]
"""Called, with the lock held, after something in the picture has changed."""
Misfit = Callable[[str], None]
"""Called, with the lock held, with what is wrong with a setting."""


class _Follower:
    """What all have in common: saying what fails, and that a selector is malformed."""

    def __init__(self, picture: Picture, changed: Changed, misfit: Misfit, what: str) -> None:
        self._picture = picture
        self._changed = changed
        self._misfit = misfit
        self._what = what
        self._once = Once()

    def failed(self, error: ApiError) -> None:
        self._once.say(time.monotonic(), (error.failure, error.status), lambda: self._say(error))

    def _say(self, error: ApiError) -> None:
        level = ERROR if error.failure in ("forbidden", "unauthorized") else WARNING
        log(level, "watch_failed", f"following {self._what}: {error}", failure=error.failure)
        if error.status == 400 and error.verb == "list":
            self._say_misfit(f"{self._what}: {error}")

    def _say_misfit(self, text: str) -> None:
        log(ERROR, "bad_setting", text)
        with self._picture.lock:
            self._misfit(text)


class KindFollower(_Follower):
    """The pods of our own kind. `watch` is set before it starts."""

    watch: Watch[Pod]

    def __init__(self, picture: Picture, changed: Changed, misfit: Misfit, api: Api) -> None:
        super().__init__(picture, changed, misfit, f"pods by pod_selector {picture.settings.pod_selector!r}")
        self._api = api

    def query(self) -> dict[str, str]:
        """Ours alone where nothing selects its kind."""
        selector = self._picture.settings.pod_selector
        return {"labelSelector": selector} if selector else self._only_ours

    @property
    def _only_ours(self) -> dict[str, str]:
        return {"fieldSelector": f"metadata.name={self._picture.settings.pod_name}"}

    def listed(self, objects: Iterable[Pod]) -> None:
        settings = self._picture.settings
        pods = list(objects)
        if not any(pod.name == settings.pod_name for pod in pods):
            ours = find(self._api, settings.pod_namespace, settings.pod_name)
            if ours is None:
                where = f"{settings.pod_name} in namespace {settings.pod_namespace}"
                self._once.say(
                    time.monotonic(),
                    "missing",
                    lambda: log(ERROR, "no_pod", f"there is no pod {where}: check pod_name and pod_namespace"),
                )
            else:
                pods = [ours]
                self._follow_only_ours(f"pod_selector {settings.pod_selector!r} does not select our own pod")
        with self._picture.lock:
            self._picture.kind.replace(settings.pod_namespace, pods)
            self._picture.kind_listed = True
            self._changed()

    def changed(self, one: Pod) -> None:
        with self._picture.lock:
            self._picture.kind.put(one)
            self._changed()

    def deleted(self, one: Pod) -> None:
        with self._picture.lock:
            self._picture.kind.remove(one)
            self._changed()
        if one.name == self._picture.settings.pod_name:
            log(WARNING, "pod_gone", f"our pod {one.namespace}/{one.name} was deleted, or is not selected any more")

    def failed(self, error: ApiError) -> None:
        super().failed(error)
        if error.status == 400 and error.verb == "list" and self.watch.query != self._only_ours:
            self._follow_only_ours(f"pod_selector {self._picture.settings.pod_selector!r} can't be used")

    def _follow_only_ours(self, why: str) -> None:
        self.watch.query = self._only_ours
        self._say_misfit(f"{why}: the other nodes' pods are not followed")


class WorkloadFollower(_Follower):
    """The workload pods of this node, in one namespace."""

    def __init__(self, picture: Picture, changed: Changed, misfit: Misfit, namespace: str) -> None:
        selector = picture.settings.workload_selector
        super().__init__(picture, changed, misfit, f"pods by workload_selector {selector!r} in {namespace}")
        self._namespace = namespace

    def query(self) -> dict[str, str]:
        node = self._picture.node_name
        return {"labelSelector": self._picture.settings.workload_selector, "fieldSelector": f"spec.nodeName={node}"}

    def listed(self, objects: Iterable[Pod]) -> None:
        with self._picture.lock:
            for gone in self._picture.workloads.replace(self._namespace, objects):
                self._picture.leaving.put(gone)
            self._picture.workloads_listed.add(self._namespace)
            self._changed()

    def changed(self, one: Pod) -> None:
        with self._picture.lock:
            self._picture.workloads.put(one)
            self._picture.leaving.remove(one)
            self._changed()

    def deleted(self, one: Pod) -> None:
        with self._picture.lock:
            self._picture.workloads.remove(one)
            if not one.leaving:
                # It may be there still, and only be selected no more; the write shows which.
                self._picture.leaving.put(one)
            self._changed()


class NodeFollower(_Follower):
    """Our own node."""

    def __init__(self, picture: Picture, changed: Changed, misfit: Misfit) -> None:
        super().__init__(picture, changed, misfit, f"node {picture.node_name}")

    def query(self) -> dict[str, str]:
        return {"fieldSelector": f"metadata.name={self._picture.node_name}"}

    def listed(self, objects: Iterable[Node]) -> None:
        node = next(iter(objects), None)
        if node is None:
            text = (
                f"there is no node {self._picture.node_name}: check node_name; it is neither cordoned nor labelled"
            )
            self._once.say(time.monotonic(), "missing", lambda: self._say_misfit(text))
            return
        self.changed(node)

    def changed(self, one: Node) -> None:
        with self._picture.lock:
            self._picture.node = one
            self._changed()

    def deleted(self, one: Node) -> None:
        """What it last said stays: a node that is taken out of the cluster may come back."""
