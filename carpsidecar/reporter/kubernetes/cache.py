"""What is known of the engine's groups and of the cluster: filled by watches and by the answers to our own writes.

Whoever reads or changes it holds its lock, and nobody holds that while he waits for the API server.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping

from carpsidecar.ipc.messages import GroupSnapshot
from carpsidecar.ipc.settings import KubernetesSettings, ReporterSettings
from carpsidecar.reporter.kubernetes.objects import ROLE_LABEL, Node, Pod
from carpsidecar.reporter.kubernetes.pod_status import suffixes

Key = tuple[str, str]


class PodStore:
    """The newest version of each pod, by namespace and name."""

    def __init__(self) -> None:
        self._pods: dict[Key, Pod] = {}

    def __iter__(self) -> Iterator[Pod]:
        return iter(self._pods.values())

    def __len__(self) -> int:
        return len(self._pods)

    def get(self, key: Key) -> Pod | None:
        return self._pods.get(key)

    def replace(self, namespace: str, pods: Iterable[Pod]) -> list[Pod]:
        """These are all that there are in this namespace; returns those that were there and aren't."""
        listed = {pod.key: pod for pod in pods}
        gone = [pod for key, pod in self._pods.items() if key[0] == namespace and key not in listed]
        for pod in gone:
            self.remove(pod)
        for pod in listed.values():
            self.put(pod)
        return gone

    def put(self, pod: Pod) -> None:
        """Take what a watch shows, unless an answer showed a newer version before."""
        before = self._pods.get(pod.key)
        if before is None or before.uid != pod.uid or pod.newer_than(before):
            self._pods[pod.key] = pod

    def refresh(self, pod: Pod) -> None:
        """Take what an answer shows, of a pod that is still there."""
        before = self._pods.get(pod.key)
        if before is not None and before.uid == pod.uid and pod.newer_than(before):
            self._pods[pod.key] = pod

    def remove(self, pod: Pod) -> None:
        """Unless another one of this name is there."""
        before = self._pods.get(pod.key)
        if before is not None and before.uid == pod.uid:
            del self._pods[pod.key]


class Cache:
    """Args: engine_alive: whether the engine's heartbeat was heard lately."""

    def __init__(self, settings: KubernetesSettings, engine_alive: Callable[[], bool]) -> None:
        self.lock = threading.RLock()
        self.settings = settings
        self.engine_alive = engine_alive
        self.carp_pods = PodStore()
        """The DaemonSet's pods, ours among them."""
        self.carp_pods_listed = False
        self.workloads = PodStore()
        """The pods of this node that carry the label and the condition too."""
        self.workloads_listed: set[str] = set()
        """The namespaces in which they were listed."""
        self.deselected = PodStore()
        """Pods that were workloads and may not be selected any more."""
        self.node: Node | None = None
        self.taken: Mapping[str, str] = {}
        """Addresses of the groups that something else in the cluster has, with what that is."""
        self.stopping = False
        self.successor: ReporterSettings | None = None
        """The settings of the next reporter, where this one is only replaced."""
        self.kept: frozenset[Key] | None = None
        """The workload pods that the next reporter selects too; None while that is not known."""
        self.suffixes: Mapping[str, str] = {}
        """What follows each group's names."""
        self._groups: dict[str, GroupSnapshot | None] = {}

    @property
    def own(self) -> Pod | None:
        return self.carp_pods.get((self.settings.pod_namespace, self.settings.pod_name))

    @property
    def others(self) -> list[Pod]:
        """The other carpsidecar pods."""
        return [pod for pod in self.carp_pods if pod.name != self.settings.pod_name]

    @property
    def node_name(self) -> str:
        """Empty while it is not known."""
        return self.settings.node_name or (self.own.node if self.own else "")

    @property
    def groups(self) -> list[GroupSnapshot]:
        """In the order in which they first came, which is that of the configuration."""
        return [group for group in self._groups.values() if group is not None]

    def set_group(self, group: GroupSnapshot) -> None:
        is_new = self._groups.get(group.group) is None
        self._groups[group.group] = group
        if is_new:
            self.suffixes = suffixes(group.group for group in self.groups)

    def drop_group(self, name: str) -> None:
        # Its position is kept: one that is configured anew is gone for a moment only.
        if name in self._groups:
            self._groups[name] = None
            self.suffixes = suffixes(group.group for group in self.groups)

    def role_of(self, pod: Pod, group: str) -> str:
        return pod.labels.get(ROLE_LABEL + self.suffixes[group], "")
