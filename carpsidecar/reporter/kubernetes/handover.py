"""What stays as it is where this reporter only makes room for one with other settings."""

from collections.abc import Callable
from dataclasses import dataclass

from carpsidecar.ipc.messages import KubernetesSettings
from carpsidecar.reporter.kubernetes.client import Api, ApiError
from carpsidecar.reporter.kubernetes.pods import list_some
from carpsidecar.reporter.kubernetes.rbac import workload_namespaces
from carpsidecar.reporter.kubernetes.store import Key
from carpsidecar.reporter.kubernetes.writer import Done


def followed(settings: KubernetesSettings) -> tuple[str, frozenset[str]]:
    """What says which workload pods of the node are followed."""
    return settings.workload_selector, frozenset(workload_namespaces(settings))


@dataclass(frozen=True)
class FindStaying:
    """Which workload pods of this node the next reporter follows; `done` gets them."""

    api: Api
    settings: KubernetesSettings
    """Of the next reporter."""
    node: str
    done: Callable[[frozenset[Key]], None]

    @property
    def key(self) -> str:
        return f"workload pods by {self.settings.workload_selector!r}"

    def run(self) -> Done:
        """Raises: ApiError."""
        found: set[Key] = set()
        query = {
            "labelSelector": self.settings.workload_selector,
            "fieldSelector": f"spec.nodeName={self.node}",
        }
        for namespace in workload_namespaces(self.settings):
            try:
                found |= {(pod.namespace, pod.name) for pod in list_some(self.api, namespace, query)}
            except ApiError as error:
                # Malformed, or not allowed: the next reporter won't see them either, and says so.
                if error.status not in (400, 403, 404):
                    raise

        def done() -> None:
            self.done(frozenset(found))

        return done
