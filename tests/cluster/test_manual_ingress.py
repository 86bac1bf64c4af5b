"""docs/recipes/ingress.md. The nodes answer in the controller's stead, whose image can't be had here."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.probe import Probe
from carpsidecar.lab.process import Process
from tests.cluster.harness import HANDOVER_S, NAMESPACE, Cluster
from tests.cluster.measure import record
from tests.cluster.workstation import Workstation
from tests.support.manual.page import claim
from tests.support.waits import SOON_S

BLOCKS = claim("docs/recipes/ingress.md")
BEHIND_A_SERVICE = next(block for block in BLOCKS if block.title == "service.yaml")
ON_THE_NODES = BLOCKS[: BLOCKS.index(BEHIND_A_SERVICE)]
APPLY = next(block for block in BLOCKS if block.text == "kubectl apply -f service.yaml\n")
WORKLOAD, TRAFFIC = "app=ingress", "ingress"


@dataclass
class Ingress:
    cluster: Cluster
    folder: Path
    controllers: dict[str, Process] = field(default_factory=dict)

    def serve(self, node: str) -> None:
        serve = ["python3", "-m", "http.server", "80", "--directory", str(self.folder)]
        self.controllers[node] = self.cluster.nodes[node].start(serve, log=None)

    def roles(self) -> dict[str, str]:
        return self.cluster.roles(WORKLOAD, TRAFFIC)


@pytest.fixture(scope="module")
def ingress(cluster: Cluster, workstation: Workstation) -> Iterator[Ingress]:
    """As the page installs it."""
    cluster.uninstall()
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")
    made = Ingress(cluster, workstation.folder)
    try:
        for node in cluster.nodes:
            made.serve(node)
        assert "Phase:          Succeeded" in workstation.run(ON_THE_NODES)
        yield made
    finally:
        cluster.uninstall()
        cluster.kubectl("delete", "namespace", TRAFFIC, "--ignore-not-found")
        for controller in made.controllers.values():
            controller.kill()


def test_the_controllers_carry_the_role_and_all_are_ready(ingress: Ingress) -> None:
    cluster = ingress.cluster
    master = cluster.wait_for_one_master()
    cluster.wait_for(lambda: ingress.roles() == cluster.roles(), "the controllers' labels")
    assert ingress.roles()[master] == "master"
    pods = cluster.pods(WORKLOAD, TRAFFIC)
    assert [cluster.condition(pod, "Ready") for pod in pods] == ["True"] * 3


def test_the_address_leaves_a_node_whose_controller_fails(
    ingress: Ingress, probe: Probe, watch: HolderWatch
) -> None:
    cluster = ingress.cluster
    master = cluster.wait_for_one_master()
    probe.wait_until_answered_by(master, SOON_S)
    since = time.monotonic()
    ingress.controllers[master].kill()
    try:
        watch.wait_until(lambda holders: bool(holders - {master}), SOON_S, "the address elsewhere")
        record("ingress controller fails", address_moved=time.monotonic() - since)
        assert time.monotonic() - since < 5
        assert watch.two_holders_s(since) < HANDOVER_S
        assert probe.longest_outage_s(since) < 1
    finally:
        ingress.serve(master)
    cluster.wait_for(lambda: ingress.roles() == cluster.roles(), "the controllers' labels")


def test_the_address_leaves_before_a_controller_that_is_replaced(
    ingress: Ingress, probe: Probe, watch: HolderWatch
) -> None:
    cluster = ingress.cluster
    _wait_until_all_are_ready(ingress)
    master = cluster.wait_for_one_master()
    probe.wait_until_answered_by(master, SOON_S)
    [pod] = [pod for pod in cluster.pods(WORKLOAD, TRAFFIC) if pod["spec"]["nodeName"] == master]
    since = time.monotonic()
    cluster.kubectl("delete", "pod", "-n", TRAFFIC, pod["metadata"]["name"], "--wait=false")
    watch.wait_until(lambda holders: bool(holders - {master}), SOON_S, "the address elsewhere")
    moved_s = time.monotonic() - since
    record("ingress controller's pod deleted", address_moved=moved_s)
    assert moved_s < 2, "preStop holds the controller for so long"
    assert watch.two_holders_s(since) < HANDOVER_S
    _wait_until_all_are_ready(ingress)


def test_a_node_without_a_controller_is_demoted(ingress: Ingress, watch: HolderWatch) -> None:
    """No pod and no server there: the check alone tells."""
    cluster = ingress.cluster
    _wait_until_all_are_ready(ingress)
    master = cluster.wait_for_one_master()
    keep_off = f'{{"spec": {{"template": {{"spec": {{"nodeSelector": {{"keep-off": {master!r}}}}}}}}}}}'.replace(
        "'", '"'
    )
    ingress.controllers[master].kill()
    cluster.kubectl("patch", "daemonset", "-n", TRAFFIC, "ingress", "-p", keep_off)
    try:
        cluster.wait_for(lambda: not cluster.pods(WORKLOAD, TRAFFIC), "the end of the controllers' pods")
        watch.wait_until(lambda holders: bool(holders - {master}), SOON_S, "the address elsewhere")
        other = cluster.wait_for_one_master()
        assert other != master
        log = cluster.kubectl(
            "logs", "-n", NAMESPACE, "--all-containers", cluster.pod_on(master)["metadata"]["name"]
        )
        assert "check ingress: unhealthy" in log
    finally:
        ingress.serve(master)
        undo = keep_off.replace(f'"{master}"', "null")
        cluster.kubectl("patch", "daemonset", "-n", TRAFFIC, "ingress", "-p", undo)
        _wait_until_all_are_ready(ingress)


def test_the_service_is_taken_with_its_policy(ingress: Ingress, workstation: Workstation) -> None:
    """Nothing here plays kube-proxy: that the API server takes it is all that can be seen."""
    workstation.run([BEHIND_A_SERVICE, APPLY])
    [service] = ingress.cluster.get("services", "-n", TRAFFIC)
    assert service["spec"]["externalTrafficPolicy"] == "Local"
    assert service["spec"]["externalIPs"] == ["10.77.0.100"]


def _wait_until_all_are_ready(ingress: Ingress) -> None:
    cluster = ingress.cluster

    def ready() -> bool:
        pods = cluster.pods(WORKLOAD, TRAFFIC)
        return [cluster.condition(pod, "Ready") for pod in pods if "deletionTimestamp" not in pod["metadata"]] == [
            "True"
        ] * 3

    cluster.wait_for(ready, "three controllers that are ready")
