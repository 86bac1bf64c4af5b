"""What the cluster asks of the election: cordon, the advskew of a node, drain, peers."""

from carpsidecar.ipc.messages import SetAdvskew, SetDemotion, SetPeers
from tests.kubernetes.scene import Scene


def test_a_cordoned_node_demotes_until_it_is_uncordoned(scene: Scene) -> None:
    scene.node(f"{scene.namespace}-n1")
    scene.pod("carp-1")
    running = scene.start(scene.settings(node_name=f"{scene.namespace}-n1", cordon_demotion=50))
    running.wait(SetDemotion(cause="cordon", amount=0))
    path = f"/api/v1/nodes/{scene.namespace}-n1"
    scene.admin.patch(path, {"spec": {"unschedulable": True}})
    running.wait(SetDemotion(cause="cordon", amount=50, bow_out=True))
    scene.wait_event("CarpDemoted", "is cordoned")
    running.asked.clear()
    scene.admin.patch(path, {"spec": {"unschedulable": False}})
    running.wait(SetDemotion(cause="cordon", amount=0))


def test_the_advskew_follows_the_nodes_label_and_a_bad_one_is_said_and_ignored(scene: Scene) -> None:
    name = f"{scene.namespace}-n1"
    scene.node(name, labels={"example.org/skew": "10"})
    scene.pod("carp-1")
    running = scene.start(scene.settings(node_name=name, advskew_label="example.org/skew"))
    running.wait(SetAdvskew(advskew=10))
    for value, expected in (
        ("254", 254),
        ("0", 0),
        ("255", None),
        ("20", 20),
        ("ten", None),
        ("30", 30),
        (None, None),
    ):
        running.asked.clear()
        scene.admin.patch(f"/api/v1/nodes/{name}", {"metadata": {"labels": {"example.org/skew": value}}})
        running.wait(SetAdvskew(advskew=expected))
    for value in ("255", "ten"):
        scene.wait_event("CarpBadSetting", f"label example.org/skew is '{value}'")
        scene.logs.wait(f"label example.org/skew is '{value}'")


def test_an_annotation_drains_by_hand(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start()
    running.snapshot("master")
    annotations = {"metadata": {"annotations": {"carpsidecar.io/drain": "true"}}}
    scene.admin.patch(f"{scene.pods}/carp-1", annotations)
    running.wait(SetDemotion(cause="drain", amount=240, bow_out=True))
    running.asked.clear()
    scene.admin.patch(f"{scene.pods}/carp-1", {"metadata": {"annotations": {"carpsidecar.io/drain": None}}})
    running.wait(SetDemotion(cause="drain", amount=0))


def test_a_pod_that_is_being_deleted_demotes_for_good(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start()
    running.snapshot("master")
    scene.wait_role("carp-1", "master")
    scene.admin.delete(f"{scene.pods}/carp-1", grace_period_s=30)
    terminating = SetDemotion(cause="terminating", amount=240, bow_out=True)
    running.wait(terminating)
    scene.wait_event("CarpDemoted", "our pod is being deleted")
    # The engine forgets what a reporter with other settings asked for.
    running.reporter.stop(5.0)
    scene.start().wait(terminating)


def test_the_peers_are_the_other_nodes_of_our_kind_in_both_families(scene: Scene) -> None:
    scene.pod("carp-1", host_ips=["192.0.2.11"])
    scene.pod("carp-2", node="n2", host_ips=["192.0.2.12", "2001:db8::12"])
    scene.pod("carp-3", node="n3", host_ips=["192.0.2.2"])
    scene.pod("other", node="n4", labels={"app": "other"}, host_ips=["192.0.2.14"])
    running = scene.start(scene.settings(discover_peers=True))
    running.wait(SetPeers(peers=["192.0.2.2", "192.0.2.12", "2001:db8::12"]))
    running.asked.clear()
    scene.status("carp-2", {"carpsidecar": False})
    scene.admin.delete(f"{scene.pods}/carp-3")
    running.wait(SetPeers(peers=["192.0.2.12", "2001:db8::12"]))
    scene.pod("carp-1-old", host_ips=["192.0.2.11"])
    scene.pod("carp-4", node="n4", host_ips=["192.0.2.14"])
    running.wait(SetPeers(peers=["192.0.2.12", "192.0.2.14", "2001:db8::12"]))
    assert [type(asked) for asked in running.asked] == [SetPeers, SetPeers]
