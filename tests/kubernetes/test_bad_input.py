"""Settings that do not fit the cluster: said, told as an event where that can be done, and never the end."""

import pytest

from tests.kubernetes.scene import Scene
from tests.support.waits import wait_until


def test_a_pod_that_is_not_there(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start(scene.settings("carp-7"))
    running.snapshot("master")
    scene.logs.wait(f"there is no pod carp-7 in namespace {scene.namespace}: check pod_name and pod_namespace")
    wait_until(lambda: len(running.reporter.cluster()) == 1, "the others are seen all the same")
    scene.pod("carp-7")
    scene.wait_role("carp-7", "master")


def test_a_namespace_in_which_nothing_is_allowed(scene: Scene) -> None:
    scene.pod("carp-1")
    account = scene.account([])
    running = scene.start(account=account)
    running.snapshot("master")
    scene.logs.wait(f"not allowed to list pods in namespace {scene.namespace}")
    running.reporter.stop(1.0)


def test_a_node_that_is_not_there(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start(scene.settings(node_name="nowhere", cordon_demotion=50))
    running.snapshot("master")
    scene.logs.wait("there is no node nowhere: check node_name")
    scene.wait_event("CarpBadSetting", "there is no node nowhere")
    scene.wait_role("carp-1", "master")


@pytest.mark.parametrize("selector", ["a==,,b", "app in (", "app=carp,/x"])
def test_a_malformed_pod_selector_leaves_our_own_pod(scene: Scene, selector: str) -> None:
    scene.pod("carp-1")
    running = scene.start(scene.settings(pod_selector=selector))
    running.snapshot("master")
    scene.logs.wait(f"pod_selector {selector!r} can't be used")
    scene.wait_role("carp-1", "master")
    scene.wait_event("CarpBadSetting", "can't be used")


def test_a_pod_selector_that_does_not_select_ourselves(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start(scene.settings(pod_selector="app=other"))
    running.snapshot("master")
    scene.wait_event("CarpBadSetting", "does not select our own pod")
    scene.wait_role("carp-1", "master")
    running.snapshot("backup")
    scene.wait_role("carp-1", "backup")


def test_a_malformed_workload_selector_leaves_the_rest(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start(scene.settings(workload_selector="web=="))
    running.snapshot("master")
    scene.wait_role("carp-1", "master")
    running.snapshot("backup")
    scene.wait_role("carp-1", "backup")


def test_no_selector_and_no_node_name_are_enough_for_our_own_pod(scene: Scene) -> None:
    scene.pod("carp-1")
    scene.pod("carp-2", node="n2")
    scene.pod("web-1", labels={"app": "web"})
    running = scene.start(scene.settings(pod_selector="", node_name="", workload_selector="app=web"))
    running.snapshot("master")
    scene.wait_role("carp-1", "master")
    scene.wait_role("web-1", "master")
    assert [view.name for view in running.reporter.cluster()] == ["carp-1"]


def test_a_kubeconfig_that_is_not_there(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start(scene.settings(kubeconfig="/nowhere/config"))
    running.snapshot("master")
    scene.logs.wait("no way to the API server")
    running.reporter.stop(0.5)


@pytest.mark.parametrize("through", ["the service account", "a kubeconfig"])
def test_an_api_server_that_is_not_the_one_whose_certificate_we_know(scene: Scene, through: str) -> None:
    scene.pod("carp-1")
    account = scene.account([])
    good, bad = (account / "ca.crt").read_bytes(), scene.stranger().certificate.read_bytes()
    kubeconfig = scene.kubeconfig(bad, (account / "token").read_text()) if through == "a kubeconfig" else None
    (account / "ca.crt").write_bytes(bad)
    running = scene.start(scene.settings(kubeconfig=str(kubeconfig or "")), account)
    running.snapshot("master")
    scene.logs.wait("TLS: ")
    assert running.stats.failures["unreachable"] >= 1
    # The authority was replaced meanwhile: it is read again.
    (account / "ca.crt").write_bytes(good)
    if kubeconfig is not None:
        scene.kubeconfig(good, (account / "token").read_text())
    scene.logs.wait("not allowed to list pods")
