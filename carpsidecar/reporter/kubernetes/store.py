"""The newest that is known of some pods, from a watch and from the answers to our own writes.

Whoever calls holds the reporter's lock.
"""

from collections.abc import Iterable, Iterator

from carpsidecar.reporter.kubernetes.objects import Pod

Key = tuple[str, str]


class PodStore:
    """By namespace and name."""

    def __init__(self) -> None:
        self._pods: dict[Key, Pod] = {}

    def __iter__(self) -> Iterator[Pod]:
        return iter(self._pods.values())

    def __len__(self) -> int:
        return len(self._pods)

    def get(self, key: Key) -> Pod | None:
        return self._pods.get(key)

    def replace(self, namespace: str, pods: Iterable[Pod]) -> list[Pod]:
        """These are all that there are in this namespace; those that were there and aren't."""
        listed = {(pod.namespace, pod.name): pod for pod in pods}
        gone = [pod for key, pod in self._pods.items() if key[0] == namespace and key not in listed]
        for pod in gone:
            self.remove(pod)
        for pod in listed.values():
            self.put(pod)
        return gone

    def put(self, pod: Pod) -> None:
        """Take what a watch shows, unless an answer showed a newer one before."""
        before = self._pods.get((pod.namespace, pod.name))
        if before is None or before.uid != pod.uid or pod.newer_than(before):
            self._pods[pod.namespace, pod.name] = pod

    def refresh(self, pod: Pod) -> None:
        """Take what an answer shows, of a pod that is still there."""
        before = self._pods.get((pod.namespace, pod.name))
        if before is not None and before.uid == pod.uid and pod.newer_than(before):
            self._pods[pod.namespace, pod.name] = pod

    def remove(self, pod: Pod) -> None:
        """Unless another one of this name is there."""
        before = self._pods.get((pod.namespace, pod.name))
        if before is not None and before.uid == pod.uid:
            del self._pods[pod.namespace, pod.name]
