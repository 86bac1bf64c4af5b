"""docs/moving/kube-vip.md, step by step. A DaemonSet of its name and an address on a node stand for kube-vip."""

from collections.abc import Iterator
from contextlib import suppress

import pytest

from carpsidecar.lab.commands import LabError, run
from carpsidecar.lab.holders import HolderWatch
from tests.cluster.harness import CHART, CONTROL_PLANE, NAMESPACE, OURS, VIP, Cluster
from tests.cluster.workstation import Workstation
from tests.support.manual.page import claim
from tests.support.waits import SOON_S

PAGE = "docs/moving/kube-vip.md"
BLOCKS = claim(PAGE)
SETTINGS, TRIAL, STOP, PING, SILENCE, UPGRADE, LOOK, REMOVE, BACK = BLOCKS
HOLDER = "node2"
KUBE_VIP = {
    "apiVersion": "apps/v1",
    "kind": "DaemonSet",
    "metadata": {"name": "kube-vip-ds", "namespace": "kube-system"},
    "spec": {
        "selector": {"matchLabels": {"app.kubernetes.io/name": "kube-vip-ds"}},
        "template": {
            "metadata": {"labels": {"app.kubernetes.io/name": "kube-vip-ds"}},
            "spec": {
                "hostNetwork": True,
                "terminationGracePeriodSeconds": 1,
                "containers": [
                    {
                        "name": "kube-vip",
                        "image": "localhost/pause:1",
                        "imagePullPolicy": "Never",
                        "env": [{"name": "vip_interface", "value": "eth0"}, {"name": "address", "value": VIP}],
                    }
                ],
            },
        },
    },
}


def _its_pods(cluster: Cluster) -> int:
    return len(cluster.pods("app.kubernetes.io/name=kube-vip-ds", "kube-system"))


@pytest.fixture
def kube_vip(cluster: Cluster) -> Iterator[Cluster]:
    cluster.uninstall()
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")
    cluster.apply(KUBE_VIP)
    cluster.wait_for(lambda: _its_pods(cluster) == 3, "its pods")
    take(cluster)
    try:
        yield cluster
    finally:
        release(cluster)
        cluster.uninstall()
        cluster.kubectl("delete", "daemonset", "-n", "kube-system", "kube-vip-ds", "--ignore-not-found")


def take(cluster: Cluster) -> None:
    """As kube-vip's leader does at its start."""
    cluster.nodes[HOLDER].run(["ip", "address", "add", f"{VIP}/32", "dev", "eth0"])
    # In the place of an announcement.
    run(["ip", "-n", CONTROL_PLANE, "neighbour", "flush", "to", VIP])


def release(cluster: Cluster) -> None:
    """As it does at its end."""
    with suppress(LabError):
        cluster.nodes[HOLDER].run(["ip", "address", "del", f"{VIP}/32", "dev", "eth0"])


def test_step_by_step_without_two_holders(kube_vip: Cluster, workstation: Workstation, watch: HolderWatch) -> None:
    assert f"address={VIP}" in workstation.run([SETTINGS])
    assert "Phase:          Succeeded" in workstation.run([TRIAL])
    assert watch.holders_now() == {HOLDER}, "the trial has not touched it"

    workstation.run([STOP])
    assert _its_pods(kube_vip) == 0
    release(kube_vip)
    workstation.run([PING, SILENCE, UPGRADE])
    watch.wait_for_exactly_one(SOON_S)
    workstation.run([LOOK])

    workstation.run([BACK])
    assert not kube_vip.pods()
    assert _its_pods(kube_vip) == 3
    watch.wait_for_holder(None, SOON_S)
    assert watch.two_holders_s() < 0.1
    workstation.run([REMOVE])


def test_an_address_that_it_forgot_is_noticed(kube_vip: Cluster, workstation: Workstation) -> None:
    workstation.run([TRIAL, STOP])
    with pytest.raises(AssertionError, match="2 received"):
        workstation.run([PING, SILENCE])
    # Who goes on nevertheless is told where, and by which command it is taken off.
    kube_vip.helm("upgrade", "carp", str(CHART), "--reuse-values", "--set", f"vip={VIP}")
    kube_vip.wait_for(lambda: kube_vip.roles().get(HOLDER) == "fault", "the fault")
    reason = kube_vip.pod_on(HOLDER, OURS)["metadata"]["annotations"]["carpsidecar.io/reason"]
    assert f"ip address del {VIP}/32 dev eth0" in reason
