"""As a platform engineer: the master's pod goes, its node, the API. Address, label and traffic follow."""

import os
import signal
import time
from functools import partial
from pathlib import Path

from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.node import Node
from carpsidecar.lab.probe import Probe
from tests.cluster.harness import (
    HANDOVER_S,
    NAMESPACE,
    OURS,
    RELEASE,
    VIP,
    Cluster,
    api_stopped,
)
from tests.cluster.measure import record
from tests.cluster.processes import ours
from tests.support.waits import SOON_S

MASTER = f"{OURS},carp-role=master"


def test_one_value_is_enough(installed: Cluster, probe: Probe, watch: HolderWatch) -> None:
    installed.wait_for_rollout()
    [master] = installed.pods(MASTER)
    node = master["spec"]["nodeName"]
    assert watch.holders_now() == {node}
    probe.wait_until_answered_by(node, SOON_S)
    assert installed.condition(master, "carpsidecar.io/elected") == "True"
    annotations = master["metadata"]["annotations"]
    assert annotations["carpsidecar.io/addresses"] == VIP
    assert annotations["carpsidecar.io/reason"]
    assert annotations["carpsidecar.io/since"]
    for name in set(installed.nodes) - {node}:
        assert installed.condition(installed.pod_on(name), "carpsidecar.io/elected") == "False"
    assert all(installed.condition(pod, "Ready") == "True" for pod in installed.pods())
    assert any(event["regarding"]["name"] == master["metadata"]["name"] for event in installed.events("CarpMaster"))


def test_helm_test_is_content(installed: Cluster) -> None:
    assert "Phase:          Succeeded" in installed.helm("test", RELEASE)


def test_at_rest_it_writes_nothing_and_costs_little(installed: Cluster, watch: HolderWatch) -> None:
    master = installed.nodes[installed.wait_for_one_master()]
    installed.wait_for_rollout()
    watch.wait_until_quiet(5, SOON_S)
    processes = [pid for role in ("run", "reporter") for pid in ours(master.ns, role)]
    assert len(processes) == 2, "a process a container"
    writes, cpu_s, since = _writes(master), sum(map(_cpu_s, processes)), time.monotonic()
    watch.wait_until_quiet(30, 60)
    used = (sum(map(_cpu_s, processes)) - cpu_s) / (time.monotonic() - since)
    assert _writes(master) == writes
    memory_mb = sum(map(_pss_mb, processes))
    record("pod at rest", processor_of_one_core=used, memory_mb_pss=memory_mb, processes=len(processes))
    assert memory_mb <= 78
    assert used < 0.01


def test_the_masters_pod_is_deleted(installed: Cluster, probe: Probe, watch: HolderWatch) -> None:
    master = installed.wait_for_one_master()
    probe.wait_until_answered_by(master, SOON_S)
    since = time.monotonic()
    installed.kubectl(
        "delete", "pod", "-n", NAMESPACE, installed.pod_on(master)["metadata"]["name"], "--wait=false"
    )
    label_s = installed.wait_for(lambda: _master_elsewhere(installed, master), "the label to follow")
    installed.wait_for_one_master()
    assert watch.two_holders_s(since) < HANDOVER_S
    outage_s = probe.longest_outage_s(since)
    record("pod deleted", without_answer=outage_s, label_followed=label_s)
    assert outage_s < 1


def test_the_masters_node_is_lost(installed: Cluster, probe: Probe, watch: HolderWatch) -> None:
    master = installed.wait_for_one_master()
    probe.wait_until_answered_by(master, SOON_S)
    since = time.monotonic()
    pod = installed.pod_on(master)["metadata"]["name"]
    # Its kubelet and containers go on, and reach nobody.
    installed.nodes[master].cut_off()
    try:
        label_s = installed.wait_for(lambda: _master_elsewhere(installed, master), "a new master's label")
        outage_s = probe.longest_outage_s(since)
        [stale] = [p for p in installed.pods() if p["metadata"]["name"] == pod]
        installed.wait_for(lambda: installed.roles().get(master) == "unknown", "the dead master's label")
        assert installed.condition(stale, "carpsidecar.io/elected") != ""
    finally:
        installed.nodes[master].rejoin()
    rejoined = time.monotonic()
    installed.wait_for_one_master(120)
    record(
        "node lost",
        without_answer=outage_s,
        label_followed=label_s,
        two_holders_after_it_came_back=watch.two_holders_s(rejoined),
    )
    assert outage_s < 6
    assert watch.two_holders_s(rejoined) < 2


def test_the_masters_node_is_cordoned(installed: Cluster, probe: Probe, watch: HolderWatch) -> None:
    master = installed.wait_for_one_master()
    probe.wait_until_answered_by(master, SOON_S)
    since = time.monotonic()
    installed.kubectl("cordon", master)
    try:
        label_s = installed.wait_for(lambda: _master_elsewhere(installed, master), "the label to follow")
        installed.wait_for_one_master()
        outage_s = probe.longest_outage_s(since)
        assert watch.two_holders_s(since) < HANDOVER_S
    finally:
        installed.kubectl("uncordon", master)
    settled = installed.wait_for_one_master()
    assert settled != master, "nobody preempts, so nothing moves back"
    record("node cordoned", without_answer=outage_s, label_followed=label_s)
    assert outage_s < 1


def test_a_node_that_is_lost_while_the_api_is_away_loses_the_address(
    installed: Cluster, probe: Probe, watch: HolderWatch
) -> None:
    master = installed.wait_for_one_master()
    probe.wait_until_answered_by(master, SOON_S)
    with api_stopped():
        since = time.monotonic()
        installed.nodes[master].cut_off()
        try:
            watch.wait_until(lambda holders: bool(holders - {master}), SOON_S, "a holder elsewhere")
            other = next(iter(watch.holders_now() - {master}))
            probe.wait_until_answered_by(other, SOON_S)
            outage_s = probe.longest_outage_s(since)
        finally:
            installed.nodes[master].rejoin()
    label_s = installed.wait_for(
        lambda: installed.roles().get(other) == "master", "the label, once the API is back", 120
    )
    installed.wait_for_one_master(120)
    record("node lost while the API is stopped", without_answer=outage_s, label_after_the_api_is_back=label_s)
    assert outage_s < 6


def test_the_api_away_for_a_minute_and_the_reporter_killed_three_times_move_nothing(
    installed: Cluster, probe: Probe, watch: HolderWatch
) -> None:
    master = installed.wait_for_one_master()
    probe.wait_until_answered_by(master, SOON_S)
    namespace = installed.nodes[master].ns
    with api_stopped():
        since, changes = time.monotonic(), len(watch.changes)
        # A kubelet starts it again at once, then after ten seconds, then after twenty.
        for _ in range(3):
            [before] = ours(namespace, "reporter")
            os.kill(before, signal.SIGKILL)
            installed.wait_for(partial(_another, namespace, before), "another reporter")
        watch.wait_until_quiet(60 - (time.monotonic() - since), 120)
        assert len(watch.changes) == changes
        longest_s = probe.longest_outage_s(since)
    assert installed.wait_for_one_master(120) == master
    assert len(watch.changes) == changes
    record("API stopped for a minute, reporter killed three times", without_answer=longest_s)
    assert longest_s < 0.5


def _master_elsewhere(cluster: Cluster, former: str) -> bool:
    return any(role == "master" for node, role in cluster.roles().items() if node != former)


def _another(namespace: str, before: int) -> bool:
    return bool(set(ours(namespace, "reporter")) - {before})


def _writes(node: Node) -> float:
    """To the API, as the node's own metrics count them."""
    fetch = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9112/metrics').read().decode())"
    lines = node.run(["python3", "-c", fetch]).splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("carp_api_writes_total"))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _pss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))
