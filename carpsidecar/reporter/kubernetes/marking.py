"""The jobs that mark a lost master: its own pod, and the workload pods on its node."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from carpsidecar.ipc.messages import KubernetesSettings
from carpsidecar.reporter.kubernetes.client import Api, ApiError
from carpsidecar.reporter.kubernetes.desired import Marks, unknown
from carpsidecar.reporter.kubernetes.objects import ROLE_LABEL, Pod
from carpsidecar.reporter.kubernetes.pods import apply, find, list_some
from carpsidecar.reporter.kubernetes.rbac import workload_namespaces
from carpsidecar.reporter.kubernetes.writer import Done
from carpsidecar.reporter.stats import ApiStats


@dataclass(frozen=True)
class MarkPod:
    """Args: done: gets the pod as it was and as it is, None where it is gone, and whether it is marked."""

    api: Api
    stats: ApiStats
    pod: Pod
    wanted: Marks
    done: Callable[[Pod, Pod | None, bool], None]

    @property
    def key(self) -> str:
        return f"marking pod {self.pod.namespace}/{self.pod.name}"

    def run(self) -> Done:
        """Raises: ApiError."""
        after: Pod | None = None
        failure: ApiError | None = None
        try:
            after = apply(self.api, self.pod, self.wanted, self.stats)
        except ApiError as error:
            failure = error
            if error.status == 409:
                # It speaks for itself again, or somebody else was faster.
                after = find(self.api, self.pod.namespace, self.pod.name)
            elif error.status != 404:
                raise

        def done() -> ApiError | None:
            self.done(self.pod, after, failure is None)
            return failure if after is not None else None

        return done


@dataclass(frozen=True)
class MarkWorkloads:
    api: Api
    stats: ApiStats
    settings: KubernetesSettings
    node: str
    suffix: str
    why: str
    done: Callable[[], None]

    @property
    def key(self) -> str:
        return f"marking workload pods on node {self.node}"

    def run(self) -> Done:
        """Raises: ApiError."""
        query = {
            "labelSelector": f"{self.settings.workload_selector},{ROLE_LABEL}{self.suffix}=master",
            "fieldSelector": f"spec.nodeName={self.node}",
        }
        for namespace in workload_namespaces(self.settings):
            for pod in list_some(self.api, namespace, query):
                try:
                    apply(self.api, pod, unknown(pod, self.suffix, self.why, time.time()), self.stats)
                except ApiError as error:
                    # One that has just changed speaks for itself.
                    if error.status not in (404, 409):
                        raise
        return self.done
