"""All that is known, of the engine's groups and of the cluster. Whoever reads or changes it holds the lock."""

import threading
from collections.abc import Callable, Mapping

from carpsidecar.ipc.messages import GroupSnapshot, KubernetesSettings, ReporterSettings
from carpsidecar.reporter.kubernetes.desired import suffixes
from carpsidecar.reporter.kubernetes.objects import ROLE_LABEL, Node, Pod
from carpsidecar.reporter.kubernetes.store import Key, PodStore


class Picture:
    """Args: engine_alive: whether the engine's heart was heard lately."""

    def __init__(self, settings: KubernetesSettings, engine_alive: Callable[[], bool]) -> None:
        self.lock = threading.Condition()
        self.settings = settings
        self.engine_alive = engine_alive
        self.kind = PodStore()
        """The pods of our own kind, ours among them."""
        self.kind_listed = False
        self.workloads = PodStore()
        """The pods of this node that carry the label and the condition too."""
        self.workloads_listed: set[str] = set()
        """The namespaces in which they were looked for."""
        self.leaving = PodStore()
        """Those that carried them and are not selected any more."""
        self.node: Node | None = None
        self.stopping = False
        self.successor: ReporterSettings | None = None
        """What the next reporter is told, where this one is only replaced."""
        self.staying: frozenset[Key] | None = None
        """The workload pods that it follows too; None while that is not known."""
        self.suffixes: Mapping[str, str] = {}
        """What follows each group's names."""
        self._groups: dict[str, GroupSnapshot | None] = {}

    @property
    def own(self) -> Pod | None:
        return self.kind.get((self.settings.pod_namespace, self.settings.pod_name))

    @property
    def others(self) -> list[Pod]:
        """Of our own kind."""
        return [pod for pod in self.kind if pod.name != self.settings.pod_name]

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
        # Its place is kept: one that is configured anew is gone for a moment only.
        if name in self._groups:
            self._groups[name] = None
            self.suffixes = suffixes(group.group for group in self.groups)

    def role_of(self, pod: Pod, group: str) -> str:
        return pod.labels.get(ROLE_LABEL + self.suffixes[group], "")
