"""Every right that is used, in one table, and what to do where one is missing."""

from collections.abc import Sequence

from msgspec import Struct

from carpsidecar.ipc.settings import KubernetesSettings


class Rule(Struct, frozen=True):
    """One verb on one resource, in a namespace; in the whole cluster where that is empty."""

    verb: str
    resource: str
    namespace: str
    api_group: str = ""

    def __str__(self) -> str:
        group = f".{self.api_group}" if self.api_group else ""
        where = f"in namespace {self.namespace}" if self.namespace else "in the cluster"
        return f"{self.verb} {self.resource}{group} {where}"

    @property
    def advice(self) -> str:
        """What to add, and where to."""
        kind = f"the Role in namespace {self.namespace}" if self.namespace else "the ClusterRole"
        return (
            f'add the verb "{self.verb}" on the resource "{self.resource}" of the API group "{self.api_group}"'
            f" to {kind}, and bind it to this pod's service account"
        )


def list_pods(namespace: str) -> Rule:
    return Rule("list", "pods", namespace)


def watch_pods(namespace: str) -> Rule:
    return Rule("watch", "pods", namespace)


def patch_status(namespace: str) -> Rule:
    """Labels, annotations and the condition go through the status subresource, in one write.

    So they change together, and nobody with our token can give a pod another image, as `patch pods` would let him.
    """
    return Rule("patch", "pods/status", namespace)


def create_event(namespace: str) -> Rule:
    return Rule("create", "events", namespace, "events.k8s.io")


def patch_event(namespace: str) -> Rule:
    return Rule("patch", "events", namespace, "events.k8s.io")


LIST_NODES = Rule("list", "nodes", "")
WATCH_NODES = Rule("watch", "nodes", "")
LIST_SERVICES = Rule("list", "services", "")


WATCH_SERVICES = Rule("watch", "services", "")
PATCH_SERVICE_STATUS = Rule("patch", "services/status", "")
"""The address, and by the same write our annotations and conditions: nobody with our token can change a Service."""
LIST_ENDPOINTS = Rule("list", "endpointslices", "", "discovery.k8s.io")
WATCH_ENDPOINTS = Rule("watch", "endpointslices", "", "discovery.k8s.io")
LIST_NAMESPACES = Rule("list", "namespaces", "")
WATCH_NAMESPACES = Rule("watch", "namespaces", "")


def get_lease(namespace: str) -> Rule:
    return Rule("get", "leases", namespace, "coordination.k8s.io")


def create_lease(namespace: str) -> Rule:
    return Rule("create", "leases", namespace, "coordination.k8s.io")


def update_lease(namespace: str) -> Rule:
    return Rule("update", "leases", namespace, "coordination.k8s.io")


def events_namespace(settings: KubernetesSettings) -> str:
    """Where events are written: with addresses for Services, in the namespaces of these too."""
    return settings.pod_namespace if settings.load_balancer is None else ""


def watches_node(settings: KubernetesSettings) -> bool:
    return settings.cordon_demotion > 0 or bool(settings.advskew_label) or settings.load_balancer is not None


def workload_namespaces(settings: KubernetesSettings) -> Sequence[str]:
    """Where workload pods are looked for; none where nothing selects them."""
    if not settings.workload_selector:
        return ()
    return tuple(dict.fromkeys(settings.workload_namespaces)) or (settings.pod_namespace,)


def rules(settings: KubernetesSettings) -> list[Rule]:
    """All that these settings need, and no more."""
    own = settings.pod_namespace
    events = events_namespace(settings)
    needed = [list_pods(own), watch_pods(own), patch_status(own), create_event(events), patch_event(events)]
    for namespace in workload_namespaces(settings):
        needed += [list_pods(namespace), watch_pods(namespace), patch_status(namespace)]
    if watches_node(settings):
        needed += [LIST_NODES, WATCH_NODES]
    if settings.check_addresses:
        needed += [LIST_NODES, LIST_SERVICES]
    if settings.load_balancer is not None:
        needed += [LIST_SERVICES, WATCH_SERVICES, PATCH_SERVICE_STATUS, LIST_ENDPOINTS, WATCH_ENDPOINTS]
        needed += [get_lease(own), create_lease(own), update_lease(own)]
        if any(pool.namespace_selector for pool in settings.load_balancer.pools):
            needed += [LIST_NAMESPACES, WATCH_NAMESPACES]
    return list(dict.fromkeys(needed))
