"""Install, upgrade, uninstall, and installations that can't work."""

import time
from functools import partial

from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.probe import Probe
from tests.cluster.harness import HANDOVER_S, NAMESPACE, OURS, RELEASE, VIP, Cluster
from tests.cluster.measure import record
from tests.support.waits import SOON_S

WEB = {
    "apiVersion": "apps/v1",
    "kind": "DaemonSet",
    "metadata": {"name": "web", "namespace": NAMESPACE},
    "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "hostNetwork": True,
                "terminationGracePeriodSeconds": 1,
                "readinessGates": [{"conditionType": "carpsidecar.io/elected"}],
                "containers": [
                    {
                        "name": "web",
                        "image": "localhost/pause:1",
                        "imagePullPolicy": "Never",
                        "readinessProbe": {
                            "tcpSocket": {"host": "127.0.0.1", "port": 8099},
                            "periodSeconds": 1,
                            "failureThreshold": 1,
                        },
                    }
                ],
            },
        },
    },
}
LISTEN = """
import socket
with socket.create_server(("127.0.0.1", 8099)) as server:
    print("listening", flush=True)
    while True:
        server.accept()[0].close()
"""


def test_an_upgrade_goes_node_by_node(installed: Cluster, probe: Probe, watch: HolderWatch) -> None:
    master = installed.wait_for_one_master()
    installed.wait_for_rollout()
    probe.wait_until_answered_by(master, SOON_S)
    before = {pod["metadata"]["uid"] for pod in installed.pods()}
    since = time.monotonic()
    installed.install(f"vip={VIP}", "podAnnotations.upgraded=yes")
    installed.wait_for_rollout()
    installed.wait_for_one_master()
    assert not before & {pod["metadata"]["uid"] for pod in installed.pods()}
    outages_s = [outage.duration_s for outage in probe.outages(since)]
    record("upgrade", without_answer=max(outages_s, default=0.0), took=time.monotonic() - since)
    assert watch.two_holders_s(since) < HANDOVER_S
    assert max(outages_s, default=0.0) < 1


def test_an_upgrade_where_only_the_elected_is_ready_goes_by_two_commands(
    cluster: Cluster, probe: Probe, watch: HolderWatch
) -> None:
    cluster.uninstall()
    gate = (f"vip={VIP}", "readinessGate=true")
    cluster.install(*gate)
    master = cluster.wait_for_one_master()
    cluster.wait_for(lambda: _ready(cluster) == {master}, "only the elected pod to be ready")
    probe.wait_until_answered_by(master, SOON_S)
    before = {pod["metadata"]["uid"] for pod in cluster.pods()}
    since = time.monotonic()
    cluster.install(*gate, "podAnnotations.upgraded=yes")
    cluster.kubectl("delete", "pods", "-n", NAMESPACE, "-l", f"{OURS},carp-role!=master")
    cluster.wait_for_one_master()
    cluster.kubectl("delete", "pods", "-n", NAMESPACE, "-l", f"{OURS},carp-role=master")
    cluster.wait_for(lambda: not before & {pod["metadata"]["uid"] for pod in cluster.pods()}, "new pods")
    settled = cluster.wait_for_one_master()
    cluster.wait_for(lambda: _ready(cluster) == {settled}, "only the elected pod to be ready")
    outages_s = [outage.duration_s for outage in probe.outages(since)]
    record("upgrade, ready means elected", without_answer=max(outages_s, default=0.0))
    assert watch.two_holders_s(since) < HANDOVER_S
    assert max(outages_s, default=0.0) < 1
    cluster.uninstall()


def _ready(cluster: Cluster) -> set[str]:
    return {pod["spec"]["nodeName"] for pod in cluster.pods() if cluster.condition(pod, "Ready") == "True"}


def _roles_follow(cluster: Cluster, namespace: str) -> bool:
    return cluster.roles("app=web", namespace) == cluster.roles()


def test_an_uninstall_leaves_nothing_behind(cluster: Cluster, watch: HolderWatch) -> None:
    cluster.kubectl("create", "namespace", "web")
    cluster.apply(WEB)
    cluster.apply(WEB | {"metadata": {"name": "web", "namespace": "web"}})
    try:
        namespaces = f"workload.namespaces={{{NAMESPACE},web}}"
        cluster.install(f"vip={VIP}", "workload.selector=app=web", namespaces, "health.unreadyDemotion=0")
        cluster.wait_for_one_master()
        for namespace in (NAMESPACE, "web"):
            cluster.wait_for(partial(_roles_follow, cluster, namespace), "the workloads' labels")
        cluster.uninstall()
        cluster.wait_for(lambda: not cluster.pods(), "the end of our pods")
        watch.wait_for_holder(None, SOON_S)
        for namespace in (NAMESPACE, "web"):
            assert set(cluster.roles("app=web", namespace).values()) == {""}
            for pod in cluster.pods("app=web", namespace):
                assert cluster.condition(pod, "carpsidecar.io/elected") == "absent"
        in_namespace = "daemonsets,jobs,pods,configmaps,secrets,services,serviceaccounts,roles,rolebindings"
        everywhere = "clusterroles,clusterrolebindings"
        ours = f"app.kubernetes.io/instance={RELEASE}"
        assert cluster.get(f"{in_namespace},{everywhere}", "-A", "-l", ours) == []
        assert "carp" not in cluster.kubectl("get", "crd", "-o", "name")
    finally:
        cluster.kubectl("delete", "daemonset", "-n", NAMESPACE, "web", "--wait=true")
        cluster.kubectl("delete", "namespace", "web")


def test_the_address_goes_where_the_workload_is_ready(cluster: Cluster, probe: Probe, watch: HolderWatch) -> None:
    cluster.uninstall()
    services = {name: node.start(["python3", "-u", "-c", LISTEN], log=None) for name, node in cluster.nodes.items()}
    cluster.apply(WEB)
    try:
        cluster.install(f"vip={VIP}", "workload.selector=app=web")
        master = cluster.wait_for_one_master()
        cluster.wait_for(lambda: cluster.roles("app=web").get(master) == "master", "the workload's label")

        def only_ready(node: str) -> bool:
            ready = {
                pod["spec"]["nodeName"]
                for pod in cluster.pods("app=web")
                if cluster.condition(pod, "Ready") == "True"
            }
            return ready == {node}

        cluster.wait_for(lambda: only_ready(master), "only the elected node's workload to be ready")
        probe.wait_until_answered_by(master, SOON_S)
        since = time.monotonic()
        services[master].kill()
        watch.wait_until(lambda holders: bool(holders - {master}), SOON_S, "the address elsewhere")
        moved_s = time.monotonic() - since
        # Of two that took it at one moment the better one keeps it.
        other = cluster.wait_for_one_master()
        assert other != master
        cluster.wait_for(lambda: only_ready(other), "the other node's workload to be the ready one")
        ready_s = time.monotonic() - since
        outage_s = probe.longest_outage_s(since)
        record("workload not ready", address_moved=moved_s, workload_ready_there=ready_s, without_answer=outage_s)
        assert watch.two_holders_s(since) < HANDOVER_S
        assert outage_s < 1
    finally:
        for service in services.values():
            service.kill()
        cluster.kubectl("delete", "daemonset", "-n", NAMESPACE, "web", "--wait=true")
        cluster.uninstall()


def test_an_address_of_no_network_is_reported_and_nothing_crash_loops(cluster: Cluster) -> None:
    cluster.uninstall()
    cluster.install("vip=192.0.2.100")
    try:
        cluster.wait_for(lambda: set(cluster.roles().values()) == {"fault"} and len(cluster.roles()) == 3, "faults")
        cluster.wait_for(lambda: len(cluster.events("CarpFault")) >= 3, "an event for each")
        assert all("no network of this machine has 192.0.2.100" in e["note"] for e in cluster.events("CarpFault"))
        for pod in cluster.pods():
            assert cluster.condition(pod, "Ready") == "False"
            assert "192.0.2.100" in pod["metadata"]["annotations"]["carpsidecar.io/reason"]
            assert sum(status["restartCount"] for status in pod["status"]["containerStatuses"]) == 0
    finally:
        cluster.uninstall()


def test_a_second_release_with_the_vhid_on_the_same_nodes_says_so(installed: Cluster) -> None:
    installed.install("vip=10.77.0.101", "vhid=100", "http.port=9113", release="other")
    try:
        others = "app.kubernetes.io/instance=other"
        installed.wait_for(lambda: list(installed.roles(others).values()) == ["fault"] * 3, "faults")
        pod = installed.pods(others)[0]
        assert "another carpsidecar serves it" in pod["metadata"]["annotations"]["carpsidecar.io/reason"]
    finally:
        installed.uninstall("other")
    assert sorted(installed.roles().values()) == ["backup", "backup", "master"]


def test_a_second_release_with_the_vhid_on_other_nodes_says_so(cluster: Cluster) -> None:
    cluster.uninstall()
    for node in cluster.nodes:
        cluster.kubectl("label", "node", node, f"half={'b' if node == 'node3' else 'a'}", "--overwrite")
    try:
        cluster.install(f"vip={VIP}", "nodeSelector.half=a")
        cluster.wait_for(lambda: sorted(cluster.roles().values()) == ["backup", "master"], "the first release")
        cluster.install("vip=10.77.0.101", "vhid=100", "nodeSelector.half=b", release="other")
        cluster.wait_for(lambda: cluster.events("CarpBadDigest"), "an event")
        assert "do passphrase and addresses agree?" in cluster.events("CarpBadDigest")[0]["note"]
    finally:
        cluster.uninstall("other")
        cluster.uninstall()


def test_peers_are_found_where_multicast_is_dropped(cluster: Cluster, watch: HolderWatch) -> None:
    cluster.uninstall()
    for node in cluster.nodes.values():
        node.shell(
            "nft 'add table ip mc; add chain ip mc i { type filter hook input priority 0; };"
            " add rule ip mc i ip daddr 224.0.0.18 drop'"
        )
    try:
        since = time.monotonic()
        cluster.install(f"vip={VIP}", "discoverPeers=true")
        master = cluster.wait_for_one_master()
        assert watch.holders_now() == {master}
        assert watch.two_holders_s(since) < HANDOVER_S
        cluster.kubectl(
            "delete", "pod", "-n", NAMESPACE, cluster.pod_on(master)["metadata"]["name"], "--wait=false"
        )
        cluster.wait_for(
            lambda: any(role == "master" for node, role in cluster.roles().items() if node != master),
            "another master",
        )
        assert watch.two_holders_s(since) < HANDOVER_S
    finally:
        for node in cluster.nodes.values():
            node.shell("nft delete table ip mc")
        cluster.uninstall()
