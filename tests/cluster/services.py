"""Services of type LoadBalancer before the pods of `web`: what the API, the nodes and the client know of them."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from carpsidecar.lab.commands import LabError
from carpsidecar.lab.holders import HolderWatch
from tests.cluster import backend
from tests.cluster.harness import NAMESPACE, Cluster

WEB_PORT, LAB_PORT = 80, 7007
_NETWORK_OF_PODS = "10.88."


@dataclass(frozen=True)
class Served:
    """A Service that has its address."""

    name: str
    address: str


@dataclass
class Services:
    cluster: Cluster

    def get(self, name: str) -> dict[str, Any]:
        [service] = [one for one in self.cluster.get("services") if one["metadata"]["name"] == name]
        return service

    def make(self, name: str, **spec: Any) -> None:
        """In front of the pods of `web`; what is no annotation is a field of its spec."""
        annotations = spec.pop("annotations", {})
        ports = [
            {"name": "web", "port": WEB_PORT, "protocol": "TCP"},
            {"name": "lab", "port": LAB_PORT, "protocol": "UDP"},
        ]
        self.cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": "default", "annotations": annotations},
                "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": ports, **spec},
            }
        )

    def serve(self, name: str, **spec: Any) -> Served:
        self.make(name, **spec)
        self.cluster.wait_for(lambda: self.addresses(name), f"{name}'s address")
        return Served(name, self.addresses(name)[0])

    @contextmanager
    def served(self, name: str, **spec: Any) -> Iterator[Served]:
        """A Service while it is looked at."""
        try:
            yield self.serve(name, **spec)
        finally:
            self.delete(name)

    def delete(self, *names: str) -> None:
        self.cluster.kubectl("delete", "service", *names, "--ignore-not-found")

    def addresses(self, name: str) -> list[str]:
        return [one["ip"] for one in self.get(name)["status"].get("loadBalancer", {}).get("ingress", [])]

    def node(self, name: str) -> str:
        """The one that the annotation names."""
        return str(self.get(name)["metadata"].get("annotations", {}).get("carpsidecar.io/node", ""))

    def condition(self, name: str, kind: str) -> dict[str, str]:
        conditions = self.get(name)["status"].get("conditions", [])
        return next((c for c in conditions if c["type"] == f"carpsidecar.io/{kind}"), {})

    def notes(self, name: str, reason: str) -> list[str]:
        events = self.cluster.get("events.events.k8s.io", "-n", "default")
        return [e["note"] for e in events if e["reason"] == reason and e["regarding"].get("name") == name]

    def watch(self, address: str) -> HolderWatch:
        return HolderWatch(list(self.cluster.nodes.values()), address)

    def patch(self, name: str, **spec: Any) -> None:
        self.cluster.kubectl("patch", "service", name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def place_pods(self, nodes: Sequence[str]) -> None:
        """The pods of `web` are on these nodes and no others, and are ready."""
        names = {"key": "kubernetes.io/hostname", "operator": "In", "values": list(nodes)}
        required = {"nodeSelectorTerms": [{"matchExpressions": [names]}]}
        affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
        patch = {"spec": {"replicas": len(nodes), "template": {"spec": {"affinity": affinity}}}}
        self.cluster.kubectl("patch", "deployment", "web", "-p", json.dumps(patch))
        self.cluster.kubectl("rollout", "status", "deployment/web", "--timeout=120s")

    def ask(self, address: str, port: int = WEB_PORT) -> tuple[str, str]:
        """By HTTP, as the client, until there is an answer: the pod's node, and the address that it sees."""
        self.cluster.wait_for(lambda: self.is_open(address, port), f"an answer of {address}")
        url = f"http://{address}:{port}/"
        node, client = self.cluster.client.run(
            ["curl", "--silent", "--show-error", "--max-time", "10", url]
        ).split()
        return node, client

    def is_open(self, address: str, port: int) -> bool:
        """Whether a connection of the client's is taken, whatever comes then."""
        connect = f"import socket; socket.create_connection(({address!r}, {port}), 5)"
        try:
            self.cluster.client.run(["python3", "-c", connect])
        except LabError:
            return False
        return True


@contextmanager
def installed(cluster: Cluster, install: Callable[[], object]) -> Iterator[Services]:
    """With pods that a Service can be put in front of; all of it is gone afterwards."""
    if _NETWORK_OF_PODS not in cluster.nodes["node1"].run(["ip", "route"]):
        pytest.skip("no network for pods: the cluster has no kube-proxy")
    cluster.uninstall()
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")
    try:
        cluster.apply(backend.deployment("web"))
        install()
        cluster.kubectl("rollout", "status", "deployment/web", "--timeout=120s")
        yield Services(cluster)
    finally:
        services = cluster.get("services", "-n", "default")
        ours = [one["metadata"]["name"] for one in services if one["spec"]["type"] == "LoadBalancer"]
        if ours:
            cluster.kubectl("delete", "service", *ours)
        cluster.kubectl("delete", "deployment", "web", "--ignore-not-found")
        cluster.uninstall()
