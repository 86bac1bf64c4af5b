"""What can't work is said, in the log, in an event or by Helm; the election goes on, and no pod restarts."""

import pytest

from tests.cluster.harness import NAMESPACE, VIP, Cluster
from tests.support.waits import SOON_S


def logs_of(cluster: Cluster) -> list[str]:
    """Each pod's log, of both containers; empty while none has been started."""
    logs = ("logs", "-n", NAMESPACE, "--all-containers")
    return [cluster.kubectl(*logs, pod["metadata"]["name"], check=False) for pod in cluster.pods()]


def wait_until_each_says(cluster: Cluster, text: str) -> None:
    cluster.wait_for(lambda: len(logs := logs_of(cluster)) == 3 and all(text in log for log in logs), text, SOON_S)


def expect_all_well_but_for_that(cluster: Cluster) -> None:
    cluster.wait_for_rollout()
    for pod in cluster.pods():
        assert cluster.condition(pod, "Ready") == "True"
        assert [status["restartCount"] for status in pod["status"]["containerStatuses"]] == [0, 0]
    for log in logs_of(cluster):
        assert "Traceback" not in log


def test_without_any_right_each_pod_says_which_rule_is_missing(cluster: Cluster) -> None:
    cluster.uninstall()
    cluster.install(f"vip={VIP}", "rbac.create=false")
    try:
        wait_until_each_says(cluster, f"not allowed to list pods in namespace {NAMESPACE}")
        assert all(
            f'add the verb "list" on the resource "pods" of the API group "" to the Role in namespace {NAMESPACE}'
            in log
            for log in logs_of(cluster)
        )
        expect_all_well_but_for_that(cluster)
        with pytest.raises(RuntimeError, match="failed"):
            cluster.helm("test", "carp")
    finally:
        # One that failed is kept for its log.
        cluster.kubectl("delete", "pod", "-n", NAMESPACE, "carp-carpsidecar-test", "--ignore-not-found")
        cluster.uninstall()


def test_a_namespace_that_is_not_there_stops_the_installation(cluster: Cluster) -> None:
    cluster.uninstall()
    try:
        with pytest.raises(RuntimeError, match='namespaces "nowhere" not found'):
            cluster.install(f"vip={VIP}", "workload.selector=app=web", "workload.namespaces={nowhere}")
    finally:
        cluster.helm("uninstall", "carp", "--no-hooks")
        cluster.wait_for(lambda: not cluster.pods(), "the end of our pods")


def test_a_malformed_selector_is_reported_in_an_event_of_each_pod(cluster: Cluster) -> None:
    cluster.uninstall()
    cluster.install(f"vip={VIP}", "workload.selector=app in web")
    try:
        wait_until_each_says(cluster, "workload_selector 'app in web'")
        pods = {pod["metadata"]["name"] for pod in cluster.pods()}
        cluster.wait_for(
            lambda: pods <= {event["regarding"]["name"] for event in cluster.events("CarpBadSetting")}, "events"
        )
        expect_all_well_but_for_that(cluster)
    finally:
        cluster.helm("uninstall", "carp", "--no-hooks")
        cluster.wait_for(lambda: not cluster.pods(), "the end of our pods")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("CARP_NODE_NAME", "nowhere", "there is no node nowhere: check node_name"),
        ("CARP_POD_NAMESPACE", "nowhere", "not allowed to list pods in namespace nowhere"),
        ("CARP_POD_NAME", "nobody", f"there is no pod nobody in namespace {NAMESPACE}: check pod_name"),
    ],
)
def test_a_place_that_is_not_there_is_reported(cluster: Cluster, name: str, value: str, text: str) -> None:
    cluster.uninstall()
    cluster.install(f"vip={VIP}", f"extraEnv[0].name={name}", f"extraEnv[0].value={value}")
    try:
        wait_until_each_says(cluster, text)
        expect_all_well_but_for_that(cluster)
    finally:
        cluster.uninstall()
