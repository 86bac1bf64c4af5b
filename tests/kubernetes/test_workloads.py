"""Workload pods of the same node, which carry the label and the condition, and whose readiness demotes."""

from typing import Any

from carpsidecar.ipc.messages import SetDemotion
from carpsidecar.ipc.settings import KubernetesSettings, ReporterSettings
from tests.kubernetes.admin import Object
from tests.kubernetes.scene import WORKLOAD, Running, Scene, annotation_of, condition_of, role_of
from tests.support.waits import wait_until

UNREADY = SetDemotion(cause="unready", amount=100, bow_out=True)
READY = SetDemotion(cause="unready", amount=0)


def start(scene: Scene, **settings: Any) -> Running:
    scene.pod("carp-1")
    running = scene.start(scene.settings(workload_selector="app=web", **settings))
    running.snapshot("master")
    return running


def test_those_of_this_node_that_match_follow_and_no_others(scene: Scene) -> None:
    scene.pod("web-1", labels=WORKLOAD)
    scene.pod("web-2", node="n2", labels=WORKLOAD)
    scene.pod("db-1", labels={"app": "db"})
    running = start(scene)
    pod = scene.wait_role("web-1", "master")
    condition = condition_of(pod)
    assert condition is not None
    assert condition["status"] == "True"
    assert pod["metadata"].get("annotations") is None
    running.snapshot("backup")
    scene.wait_role("web-1", "backup")
    scene.pod("web-3", labels=WORKLOAD)
    scene.wait_role("web-3", "backup")
    for name in ("web-2", "db-1"):
        assert role_of(scene.read(name)) is None
        assert condition_of(scene.read(name)) is None


def test_one_that_matches_no_more_and_all_at_the_end_are_as_they_were(scene: Scene) -> None:
    for name in ("web-1", "web-2"):
        scene.pod(name, labels=WORKLOAD)
    running = start(scene)
    for name in ("web-1", "web-2"):
        scene.wait_role(name, "master")
    scene.admin.patch(f"{scene.pods}/web-1", {"metadata": {"labels": {"app": "other"}}})
    pod = scene.wait_role("web-1", None)
    assert condition_of(pod) is None
    running.state.engine_gone(1_800_000_000.0)
    running.reporter.stop(5.0)
    pod = scene.read("web-2")
    assert pod["metadata"]["labels"] == WORKLOAD
    assert condition_of(pod) is None
    assert role_of(scene.read("carp-1")) == "init"


def version_of(pod: Object) -> str:
    return str(pod["metadata"]["resourceVersion"])


def hand_over(running: Running, after: KubernetesSettings | None) -> None:
    """As the engine does it that only replaces the reporter."""
    running.state.receive(ReporterSettings(software="1", log_format="text", log_level="info", kubernetes=after))
    running.reporter.stop(5.0)


def test_what_the_next_reporter_follows_too_stays_as_it_is(scene: Scene) -> None:
    for name, tier in (("web-1", "front"), ("web-2", "back"), ("web-3", "front")):
        scene.pod(name, labels={**WORKLOAD, "tier": tier})
    running = start(scene)
    before = [version_of(scene.wait_role(name, "master")) for name in ("carp-1", "web-1", "web-3")]
    scene.wait_role("web-2", "master")
    hand_over(running, scene.settings(workload_selector="app in (web, other),tier=front"))
    assert [version_of(scene.read(name)) for name in ("carp-1", "web-1", "web-3")] == before
    assert role_of(scene.read("web-2")) is None
    assert condition_of(scene.read("web-2")) is None


def test_nothing_is_written_where_the_next_reporter_follows_the_same(scene: Scene) -> None:
    scene.pod("web-1", labels=WORKLOAD)
    running = start(scene)
    before = [version_of(scene.wait_role(name, "master")) for name in ("carp-1", "web-1")]
    hand_over(running, scene.settings(workload_selector="app=web", workload_namespaces=[scene.namespace]))
    assert [version_of(scene.read(name)) for name in ("carp-1", "web-1")] == before


def test_one_namespace_less_is_cleaned_up_though_the_next_ones_are_forbidden(scene: Scene) -> None:
    gone, staying = scene.add_namespace(), scene.add_namespace()
    for namespace in (gone, staying):
        scene.pod("web-1", labels=WORKLOAD, namespace=namespace)
    running = start(scene, workload_namespaces=[gone, staying])
    for namespace in (gone, staying):
        scene.wait_role("web-1", "master", namespace)
    hand_over(
        running, scene.settings(workload_selector="app=web", workload_namespaces=[staying, scene.add_namespace()])
    )
    assert role_of(scene.read("web-1", gone)) is None
    assert role_of(scene.read("web-1", staying)) == "master"


def test_where_the_next_reporter_has_nothing_to_do_with_kubernetes_nothing_is_left(scene: Scene) -> None:
    scene.pod("web-1", labels=WORKLOAD)
    running = start(scene)
    for name in ("carp-1", "web-1"):
        scene.wait_role(name, "master")
    hand_over(running, None)
    for name in ("carp-1", "web-1"):
        pod = scene.read(name)
        assert role_of(pod) is None
        assert condition_of(pod) is None
        assert not pod["metadata"].get("annotations")


def test_they_may_be_in_other_namespaces(scene: Scene) -> None:
    namespaces = [scene.add_namespace(), scene.add_namespace()]
    for namespace in (*namespaces, ""):
        scene.pod("web-1", labels=WORKLOAD, namespace=namespace)
    start(scene, workload_namespaces=namespaces)
    for namespace in namespaces:
        scene.wait_role("web-1", "master", namespace)
    assert role_of(scene.read("web-1")) is None


def test_a_pod_that_is_deleted_costs_nothing(scene: Scene) -> None:
    for number in range(3):
        scene.pod(f"web-{number}", labels=WORKLOAD)
    running = start(scene)
    scene.wait_role("web-0", "master")
    scene.admin.delete(f"{scene.pods}/web-1")
    running.snapshot("backup")
    for name in ("web-0", "web-2", "carp-1"):
        scene.wait_role(name, "backup")
    assert running.stats.failures.keys() <= {"other", "conflict"}


def test_a_container_beside_ours_that_is_not_ready_demotes_until_it_is(scene: Scene) -> None:
    scene.pod("carp-1", containers=("carpsidecar", "web"))
    running = scene.start(scene.settings(unready_demotion=100))
    running.wait(READY)
    scene.status("carp-1", {"carpsidecar": False, "web": True})
    scene.status("carp-1", {"carpsidecar": True, "web": False})
    running.wait(UNREADY)
    scene.wait_event("CarpDemoted", "demoted by 100: not ready: container web")
    running.asked.clear()
    scene.status("carp-1", {"carpsidecar": True, "web": True})
    running.wait(READY)


def test_a_workload_pod_that_is_not_ready_demotes_until_it_is_and_our_gate_does_not(scene: Scene) -> None:
    scene.pod("web-1", labels=WORKLOAD)
    running = start(scene, unready_demotion=100)
    running.wait(READY)
    not_elected = {"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady"}
    scene.admin.patch(f"{scene.pods}/web-1/status", {"status": {"conditions": [not_elected]}})
    scene.status("web-1", {"carpsidecar": False})
    running.wait(UNREADY)
    running.asked.clear()
    scene.status("web-1", {"carpsidecar": True})
    running.wait(READY)
    assert UNREADY not in running.asked
    scene.status("web-1", {"carpsidecar": False})
    running.wait(UNREADY)
    running.asked.clear()
    scene.admin.delete(f"{scene.pods}/web-1")
    running.wait(READY)


def test_what_was_asked_stays_while_the_api_is_away(scene: Scene) -> None:
    scene.pod("web-1", labels=WORKLOAD, ready={"carpsidecar": False})
    running = start(scene, unready_demotion=100)
    running.wait(UNREADY)
    scene.proxy.go_away()
    running.asked.clear()
    scene.status("web-1", {"carpsidecar": True})
    wait_until(lambda: running.stats.failures["unreachable"] > 3, "it tries")
    assert running.asked == []
    scene.proxy.come_back()
    running.wait(READY)


def test_a_node_without_a_workload_pod_demotes_while_another_has_a_ready_one(scene: Scene) -> None:
    scene.pod("carp-1")
    scene.pod("carp-2", node="n2")
    scene.pod("web-2", node="n2", labels=WORKLOAD)
    settings: dict[str, Any] = {"workload_selector": "app=web", "absent_demotion": 240}
    running = scene.start(scene.settings(**settings))
    running.snapshot("master")
    running.wait(SetDemotion(cause="absent", amount=0))
    scene.wait_pod("carp-1", lambda pod: annotation_of(pod, "workload") == "none")
    other = scene.start(scene.settings("carp-2", node_name="n2", **settings))
    other.snapshot("backup")
    scene.wait_pod("carp-2", lambda pod: annotation_of(pod, "workload") == "ready")
    running.wait(SetDemotion(cause="absent", amount=240, bow_out=True))
    scene.wait_event("CarpDemoted", "no pod by app=web is on this node, and one on node n2 is ready")
    running.asked.clear()
    scene.status("web-2", {"carpsidecar": False})
    scene.wait_pod("carp-2", lambda pod: annotation_of(pod, "workload") == "not-ready")
    running.wait(SetDemotion(cause="absent", amount=0))
    scene.status("web-2", {"carpsidecar": True})
    running.wait(SetDemotion(cause="absent", amount=240, bow_out=True))
    running.asked.clear()
    scene.pod("web-1", labels=WORKLOAD)
    running.wait(SetDemotion(cause="absent", amount=0))
    scene.wait_pod("carp-1", lambda pod: annotation_of(pod, "workload") == "ready")
