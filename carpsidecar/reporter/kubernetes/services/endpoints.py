"""Where the pods of a Service are, for those whose externalTrafficPolicy is Local."""

from collections.abc import Iterable, Mapping, Sequence

from carpsidecar.reporter.kubernetes.services.objects import EndpointSlice, Key, Service

EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"


class Endpoints:
    """The newest EndpointSlices. None are known before `listed` is set."""

    def __init__(self) -> None:
        self.listed = False
        self._slices: dict[Key, dict[str, EndpointSlice]] = {}
        """By Service, and by name."""

    def replace(self, slices: Iterable[EndpointSlice]) -> set[Key]:
        """These are all that there are; returns the Services of those that there were or are."""
        before, self._slices = self._slices, {}
        for one in slices:
            self.put(one)
        self.listed = True
        return before.keys() | self._slices.keys()

    def put(self, one: EndpointSlice) -> Key:
        key = one.namespace, one.service
        self._slices.setdefault(key, {})[one.name] = one
        return key

    def remove(self, one: EndpointSlice) -> Key:
        key = one.namespace, one.service
        slices = self._slices.get(key, {})
        slices.pop(one.name, None)
        if not slices:
            self._slices.pop(key, None)
        return key

    def nodes_of(self, key: Key) -> frozenset[str]:
        """With a ready endpoint; where none is ready anywhere, with one that serves until it ends."""
        slices = self._slices.get(key, {}).values()
        ready = frozenset[str]().union(*(one.ready for one in slices))
        return ready or frozenset[str]().union(*(one.serving for one in slices))


def obstacle(services: Sequence[Service], node: str, labels: Mapping[str, str], endpoints: Endpoints) -> str:
    """Why this node is not to take part for the address of these Services; empty where it is."""
    if EXCLUDED in labels:
        return f"node {node} has the label {EXCLUDED}"
    without = [str(one) for one in services if one.is_local and node not in endpoints.nodes_of(one.key)]
    return f"no ready endpoint of {', '.join(without)} on this node" if without else ""
