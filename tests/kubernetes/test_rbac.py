"""The rights in the table are all that is needed, and each of them is."""

from contextlib import suppress

import pytest

from carpsidecar.ipc.messages import SetDemotion
from carpsidecar.ipc.settings import KubernetesSettings
from carpsidecar.reporter.kubernetes.rbac import Rule, rules, workload_namespaces
from tests.kubernetes.scene import WORKLOAD, Running, Scene
from tests.support.waits import wait_until

COUNT = 11
"""As many rules as `settings_with_all` needs; a test below says if that is no longer so."""


def settings_with_all(scene: Scene) -> KubernetesSettings:
    namespace = scene.add_namespace()
    name = f"{scene.namespace}-n1"
    scene.node(name)
    scene.pod("carp-1", node=name)
    scene.pod("web-1", node=name, labels=WORKLOAD, namespace=namespace)
    return scene.settings(
        node_name=name,
        workload_selector="app=web",
        workload_namespaces=[namespace],
        cordon_demotion=50,
        unready_demotion=100,
        discover_peers=True,
        check_addresses=True,
        advskew_label="example.org/skew",
    )


def do_all(scene: Scene, running: Running) -> None:
    """Everything that needs a right; an event that comes again is a series only when the first was written."""
    running.snapshot("backup", "again")
    with suppress(AssertionError):
        scene.wait_event("CarpBackup", timeout_s=1.0)
    running.snapshot("master")
    running.snapshot("backup", "again")
    scene.pod("carp-2", node="n2")
    scene.admin.patch(f"/api/v1/nodes/{scene.namespace}-n1", {"spec": {"unschedulable": True}})


def test_the_rights_in_the_table_suffice(scene: Scene) -> None:
    settings = settings_with_all(scene)
    assert len(rules(settings)) == COUNT
    running = scene.start(settings)
    do_all(scene, running)
    scene.wait_role("carp-1", "backup")
    scene.wait_role("web-1", "backup", settings.workload_namespaces[0])
    scene.wait_event("CarpBackup", count=2)
    running.wait(SetDemotion(cause="cordon", amount=50, bow_out=True))
    wait_until(lambda: len(running.reporter.cluster()) == 2, "the other pod was seen")
    assert running.stats.failures["forbidden"] == 0


@pytest.mark.parametrize("number", range(COUNT))
def test_without_one_of_them_something_fails_and_says_which_it_is(scene: Scene, number: int) -> None:
    settings = settings_with_all(scene)
    needed = rules(settings)
    missing = needed.pop(number)
    running = scene.start(settings, scene.account(needed))
    do_all(scene, running)
    line = scene.logs.wait(f"not allowed to {missing}")
    where = f"the Role in namespace {missing.namespace}" if missing.namespace else "the ClusterRole"
    assert f'"{missing.verb}" on the resource "{missing.resource}"' in line
    assert f'of the API group "{missing.api_group}" to {where}' in line
    assert running.stats.failures["forbidden"] >= 1
    others = [rule for rule in needed if f"not allowed to {rule}:" in "\n".join(scene.logs.lines)]
    assert others == []
    # As soon as somebody adds it, all is well.
    scene.grant(missing)
    scene.wait_role("carp-1", "backup")
    scene.wait_role("web-1", "backup", settings.workload_namespaces[0])
    scene.wait_event("CarpBackup", count=2)
    wait_until(lambda: len(running.reporter.cluster()) == 2, "the other pod was seen")
    running.wait(SetDemotion(cause="cordon", amount=50, bow_out=True))


def test_a_setting_that_is_off_needs_no_right(scene: Scene) -> None:
    own = scene.namespace
    plain = {
        Rule("list", "pods", own),
        Rule("watch", "pods", own),
        Rule("patch", "pods/status", own),
        Rule("create", "events", own, "events.k8s.io"),
        Rule("patch", "events", own, "events.k8s.io"),
    }
    assert set(rules(scene.settings())) == plain
    assert set(rules(scene.settings(discover_peers=True, unready_demotion=100))) == plain
    with_workloads = scene.settings(workload_selector="app=web")
    assert set(rules(with_workloads)) == plain
    assert workload_namespaces(with_workloads) == (own,)
    nodes = {Rule("list", "nodes", ""), Rule("watch", "nodes", "")}
    assert set(rules(scene.settings(cordon_demotion=1))) == plain | nodes
    assert set(rules(scene.settings(advskew_label="x"))) == plain | nodes
    check = {Rule("list", "nodes", ""), Rule("list", "services", "")}
    assert set(rules(scene.settings(check_addresses=True))) == plain | check
