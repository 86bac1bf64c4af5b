"""The example of a DaemonSet of one's own, with carpsidecar as a native sidecar."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from carpsidecar.lab.holders import HolderWatch
from tests.cluster.harness import HANDOVER_S, VIP, Cluster
from tests.cluster.measure import record
from tests.support.waits import SOON_S

EXAMPLE = Path(__file__).parents[2] / "docs" / "kubernetes" / "native-sidecar.yaml"
SERVE = ["python3", "-m", "http.server", "80"]
NAMESPACE, WEB = "web", "app=web"
STOPS_AFTER_S = 2


@pytest.fixture
def example(cluster: Cluster) -> Iterator[Cluster]:
    """With this cluster's address and images; the node answers in the workload's stead."""
    cluster.uninstall()
    services = [node.start(SERVE, log=None) for node in cluster.nodes.values()]
    cluster.kubectl("create", "namespace", NAMESPACE)
    try:
        secret = ("secret", "generic", "carp-passphrase", "--from-literal=passphrase=for the cluster")
        cluster.kubectl("create", "-n", NAMESPACE, *secret)
        for manifest in yaml.safe_load_all(EXAMPLE.read_text().replace("192.0.2.100", VIP)):
            if manifest["kind"] == "DaemonSet":
                _use_images(manifest["spec"]["template"]["spec"])
            cluster.apply(manifest)
        yield cluster
    finally:
        cluster.kubectl("delete", "namespace", NAMESPACE)
        for service in services:
            service.kill()


def _use_images(pod: dict[str, Any]) -> None:
    [sidecar], [web] = pod["initContainers"], pod["containers"]
    sidecar |= {"image": "localhost/carpsidecar:latest", "imagePullPolicy": "Never"}
    web |= {"image": "localhost/pause:1", "imagePullPolicy": "Never"}
    # Its image has no program but its own.
    assert web["lifecycle"] == {"preStop": {"exec": {"command": ["sleep", str(STOPS_AFTER_S)]}}}
    web["lifecycle"] = {"preStop": {"sleep": {"seconds": STOPS_AFTER_S}}}


def test_the_address_leaves_before_the_workload_stops(example: Cluster, watch: HolderWatch) -> None:
    def roles() -> dict[str, str]:
        return example.roles(WEB, NAMESPACE)

    example.wait_for(lambda: sorted(roles().values()) == ["backup", "backup", "master"], "one master")
    [master] = [node for node, role in roles().items() if role == "master"]
    example.wait_for(lambda: _ready(example) == {master}, "only the elected pod to be ready")
    [pod] = [pod for pod in example.pods(WEB, NAMESPACE) if pod["spec"]["nodeName"] == master]
    since = time.monotonic()
    example.kubectl("delete", "pod", "-n", NAMESPACE, pod["metadata"]["name"], "--wait=false")
    watch.wait_until(lambda holders: bool(holders - {master}), SOON_S, "the address elsewhere")
    moved_s = time.monotonic() - since
    record("native sidecar's pod deleted", address_moved=moved_s)
    assert moved_s < STOPS_AFTER_S
    assert watch.two_holders_s(since) < HANDOVER_S
    example.wait_for(lambda: sorted(roles().values()) == ["backup", "backup", "master"], "one master again")
    assert roles()[master] == "backup"


def _ready(cluster: Cluster) -> set[str]:
    pods = cluster.pods(WEB, NAMESPACE)
    return {pod["spec"]["nodeName"] for pod in pods if cluster.condition(pod, "Ready") == "True"}
