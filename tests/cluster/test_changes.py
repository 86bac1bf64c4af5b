"""A Secret or a ConfigMap that changes while the pods run: taken over with one master throughout, or reported."""

import base64
import json

import pytest

from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.probe import Probe
from tests.cluster.harness import HANDOVER_S, NAMESPACE, RELEASE, Cluster
from tests.cluster.labels import LabelWatch
from tests.cluster.measure import record
from tests.support.waits import SOON_S

CHANGED_S = 400.0
"""A kubelet's sync period and the age of its cache, and as much again for the backups to go first."""
NAME = f"{RELEASE}-carpsidecar"


def agreements(cluster: Cluster) -> set[str]:
    return {pod["metadata"]["annotations"].get("carpsidecar.io/agreement", "") for pod in cluster.pods()}


@pytest.mark.timeout(900)
def test_another_passphrase_reaches_the_running_pods_and_one_is_master_at_every_moment(
    installed: Cluster, probe: Probe, watch: HolderWatch
) -> None:
    installed.wait_for_rollout()
    master = installed.wait_for_one_master()
    probe.wait_until_answered_by(master, SOON_S)
    installed.wait_for(lambda: len(agreements(installed)) == 1, "one agreement")
    [former] = agreements(installed)
    changes = len(watch.changes)
    with LabelWatch() as labels:
        secret = base64.b64encode(b"another-passphrase-for-all").decode()
        patch = json.dumps({"data": {"passphrase": secret}})
        installed.kubectl("patch", "secret", "-n", NAMESPACE, f"{NAME}-passphrase", "-p", patch)

        def taken_over() -> bool:
            return len(agreements(installed)) == 1 and former not in agreements(installed)

        took_s = installed.wait_for(taken_over, "all pods under the new passphrase", CHANGED_S)
        assert installed.wait_for_one_master() == master
        assert len(watch.changes) == changes, "the address stayed where it was"
        assert [masters for _, masters in labels.changes if len(masters) != 1] == []
    record("another passphrase in the Secret", in_force_everywhere_after=took_s)
    # And they are a group again, which hands over as ever.
    pod = installed.pod_on(master)["metadata"]["name"]
    installed.kubectl("exec", "-n", NAMESPACE, pod, "-c", "carpsidecar", "--", "carpsidecar", "step-down")
    installed.wait_for(lambda: installed.roles().get(master) == "backup", "a hand-over")
    installed.wait_for_one_master()
    assert watch.two_holders_s() < HANDOVER_S


@pytest.mark.timeout(900)
def test_another_vhid_is_reported_as_drift_everywhere_and_changes_nothing(
    installed: Cluster, watch: HolderWatch
) -> None:
    installed.wait_for_rollout()
    master = installed.wait_for_one_master()
    pod = installed.pod_on(master)["metadata"]["name"]
    [config] = [one for one in installed.get("configmaps", "-n", NAMESPACE) if one["metadata"]["name"] == NAME]
    [(file, text)] = config["data"].items()
    changes = len(watch.changes)
    patch = json.dumps({"data": {file: f"{text}\nvhid: 77\nname: vhid-100\n"}})
    installed.kubectl("patch", "configmap", "-n", NAMESPACE, NAME, "-p", patch)
    try:

        def reported() -> bool:
            return any("vhid" in event["note"] for event in installed.events("CarpConfigDiffers"))

        installed.wait_for(reported, "the event", CHANGED_S)
        installed.wait_for(lambda: "replace the pod" in _in_pod(installed, pod, "status"), "the status", CHANGED_S)
        found = _in_pod(installed, pod, "doctor", "--listen", "0.5", "--json")
        findings = json.loads(found[found.index("{") :])["findings"]
        assert [one["status"] for one in findings if one["check"] == "drift"] == ["warning"]
        assert 'carp_config_drift{group="vhid-100"} 1' in _metrics(installed, master)
        assert len(watch.changes) == changes
        assert installed.wait_for_one_master() == master
    finally:
        installed.kubectl("patch", "configmap", "-n", NAMESPACE, NAME, "-p", json.dumps({"data": {file: text}}))
    installed.wait_for(lambda: "replace the pod" not in _in_pod(installed, pod, "status"), "its end", CHANGED_S)


def _in_pod(cluster: Cluster, pod: str, *command: str) -> str:
    return cluster.kubectl(
        "exec", "-n", NAMESPACE, pod, "-c", "carpsidecar", "--", "carpsidecar", *command, check=False
    )


def _metrics(cluster: Cluster, node: str) -> str:
    url = "http://127.0.0.1:9112/metrics"
    fetch = f"import urllib.request; print(urllib.request.urlopen('{url}').read().decode())"
    return cluster.nodes[node].run(["python3", "-c", fetch])
