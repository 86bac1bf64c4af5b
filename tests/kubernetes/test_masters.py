"""Two that say master: one that is dead, and one that is not."""

import time
from typing import Any

from tests.kubernetes.proxy import Fault
from tests.kubernetes.scene import WORKLOAD, Running, Scene, annotation_of, condition_of, role_of
from tests.support.waits import wait_until


def start(scene: Scene, number: int, **settings: Any) -> Running:
    scene.pod(f"carp-{number}", node=f"n{number}")
    values = {"node_name": f"n{number}", "workload_selector": "app=web", **settings}
    return scene.start(scene.settings(f"carp-{number}", **values))


def test_a_master_that_died_with_its_label_on_is_marked_unknown_and_so_are_its_workload_pods(scene: Scene) -> None:
    scene.pod("web-1", node="n1", labels=WORKLOAD)
    scene.pod("web-2", node="n2", labels=WORKLOAD)
    first, second = start(scene, 1), start(scene, 2)
    second.snapshot("backup")
    first.snapshot("master")
    scene.wait_role("carp-1", "master")
    scene.wait_role("web-1", "master")
    kill(first)
    second.snapshot("master", "no advertisement from the master")
    pod = scene.wait_role("carp-1", "unknown")
    assert annotation_of(pod, "reason") == "carp-2 on n2 became master"
    condition = condition_of(pod)
    assert condition is not None
    assert condition["status"] == "Unknown"
    pod = scene.wait_role("web-1", "unknown")
    scene.wait_role("web-2", "master")
    assert second.stats.split_brain == set()
    assert [view.alive for view in second.reporter.cluster()] == [False, True]


def test_an_orderly_handover_marks_nobody(scene: Scene) -> None:
    first, second = start(scene, 1), start(scene, 2)
    second.snapshot("backup")
    first.snapshot("master")
    scene.wait_role("carp-1", "master")
    for old, new, name in ((first, second, "carp-1"), (second, first, "carp-2"), (first, second, "carp-1")):
        old.snapshot("backup", "a better master advertises")
        new.snapshot("master", "preempting a slower master")
        scene.wait_role(name, "backup")
    scene.wait_role("carp-2", "master")
    # Longer than a new master waits before it marks another.
    time.sleep(0.7)
    assert not any("unknown" in seen.body for seen in scene.proxy.seen)


def test_two_that_live_and_claim_are_a_split_brain_which_both_say_until_it_ends(scene: Scene) -> None:
    first, second = start(scene, 1), start(scene, 2)
    first.snapshot("master")
    scene.wait_role("carp-1", "master")
    second.snapshot("master", "no advertisement from the master")
    scene.wait_role("carp-1", "unknown")
    for running in (first, second):
        wait_until(lambda r=running: r.stats.split_brain == {"web"}, "both know")  # type: ignore[misc]
    scene.wait_event("CarpSplitBrain", "two masters: carp-2 on n2")
    scene.wait_event("CarpSplitBrain", "two masters: carp-1 on n1")
    scene.wait_role("carp-1", "master")
    assert sum("unknown" in seen.body for seen in scene.proxy.seen if seen.method == "PATCH") == 1
    first.snapshot("backup", "a better master advertises")
    for running in (first, second):
        wait_until(lambda r=running: r.stats.split_brain == set(), "both know that it is over")  # type: ignore[misc]
    scene.said.wait("there is one master again")
    assert role_of(scene.read("carp-2")) == "master"


def test_one_that_wakes_up_and_learns_that_it_is_no_master_does_not_claim_again(scene: Scene) -> None:
    first, second = start(scene, 1), start(scene, 2)
    first.snapshot("master")
    scene.wait_role("carp-1", "master")
    second.snapshot("master")
    scene.wait_role("carp-1", "unknown")
    first.snapshot("backup", "the lease ran out before it was renewed")
    scene.wait_role("carp-1", "backup")
    assert second.stats.split_brain == set()
    assert not any(event["reason"] == "CarpSplitBrain" for event in scene.events())


def test_a_claim_that_is_newer_than_ours_is_left_alone(scene: Scene) -> None:
    first, second = start(scene, 1), start(scene, 2)
    second.snapshot("master", since_s=1_900_000_000.0)
    scene.wait_role("carp-2", "master")
    kill(second)
    wait_until(lambda: len(first.reporter.cluster()) == 2, "listed")
    # It became master before the other did; its own reporter only hears of it now.
    third = scene.start(scene.settings("carp-1"))
    third.snapshot("master", since_s=1_800_000_000.0)
    scene.wait_role("carp-1", "master")
    time.sleep(0.7)
    assert role_of(scene.read("carp-2")) == "master"
    assert first.stats.split_brain == set()


def test_what_was_seen_before_is_older_whatever_the_clocks_say(scene: Scene) -> None:
    first, second = start(scene, 1), start(scene, 2)
    second.snapshot("backup")
    first.snapshot("master", since_s=time.time() + 3600)
    scene.wait_role("carp-1", "master")
    wait_until(lambda: any(view.roles for view in second.reporter.cluster()), "seen")
    kill(first)
    second.snapshot("master")
    scene.wait_role("carp-1", "unknown")


def test_one_that_has_just_spoken_for_itself_is_not_marked(scene: Scene) -> None:
    first, second = start(scene, 1), start(scene, 2)
    first.snapshot("master")
    scene.wait_role("carp-1", "master")
    wait_until(lambda: any(view.roles for view in second.reporter.cluster()), "seen")
    # The mark is on its way when the old master's own word arrives.
    scene.proxy.strike(Fault("PATCH", "carp-1", times=1, late_s=0.5, hang_s=0.1))
    second.snapshot("master")
    scene.proxy.wait(lambda seen: any("unknown" in one.body for one in seen))
    first.snapshot("backup")
    scene.wait_role("carp-1", "backup")
    time.sleep(0.7)
    assert role_of(scene.read("carp-1")) == "backup"


def kill(running: Running) -> None:
    """End its threads without a last write."""
    reporter = running.reporter
    reporter._queue.shut_down()
    for reflector in reporter._reflectors:
        reflector.stop()
    reporter._worker.join(5)
