"""Two that say master: one that is dead, and one that is not."""

import statistics
import time
from typing import Any

from msgspec.structs import replace

from carpsidecar.reporter.kubernetes.masters import SILENT
from tests.kubernetes.proxy import Fault
from tests.kubernetes.record import Record
from tests.kubernetes.scene import QUICK, WORKLOAD, Running, Scene, annotation_of, condition_of, role_of
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
    second.snapshot("master", SILENT[0])
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
    assert not any("unknown" in seen.body for seen in scene.proxy.seen)


def test_two_that_are_master_at_once_are_a_split_brain_which_both_report_and_one_is_labelled(scene: Scene) -> None:
    first, second = start(scene, 1), start(scene, 2)
    first.snapshot("master")
    scene.wait_role("carp-1", "master")
    second.snapshot("master", SILENT[0])
    scene.wait_role("carp-1", "unknown")
    for running in (first, second):
        wait_until(lambda r=running: r.stats.split_brain == {"web"}, "both know")  # type: ignore[misc]
    scene.wait_event("CarpSplitBrain", "two masters: carp-2 on n2")
    scene.wait_event("CarpSplitBrain", "two masters: carp-1 on n1")
    pod = scene.read("carp-1")
    assert role_of(pod) == "unknown"
    assert annotation_of(pod, "contested") == "carp-2 on n2 claims it too"
    assert role_of(scene.read("carp-2")) == "master"
    first.snapshot("backup", "a better master advertises")
    for running in (first, second):
        wait_until(lambda r=running: r.stats.split_brain == set(), "both know that it is over")  # type: ignore[misc]
    scene.logs.wait("there is one master again")
    scene.wait_role("carp-1", "backup")
    assert annotation_of(scene.read("carp-1"), "contested") is None


def test_whoever_is_left_of_two_is_labelled(scene: Scene) -> None:
    first, second = start(scene, 1), start(scene, 2)
    first.snapshot("master")
    scene.wait_role("carp-1", "master")
    second.snapshot("master", SILENT[0])
    scene.wait_pod("carp-1", lambda pod: annotation_of(pod, "contested") is not None)
    second.snapshot("backup", "a better master advertises")
    scene.wait_role("carp-1", "master")


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


def test_a_claim_that_is_newer_than_ours_gets_a_moment(scene: Scene) -> None:
    first, second = start(scene, 1), start(scene, 2)
    second.snapshot("master", since_s=1_900_000_000.0)
    scene.wait_role("carp-2", "master")
    wait_until(lambda: any(view.roles for view in first.reporter.cluster()), "seen")
    # It became master before the other did; its own reporter only hears of it now.
    kill(first)
    third = scene.start(scene.settings("carp-1"))
    with Record(scene) as record:
        third.snapshot("master", since_s=1_800_000_000.0)
        record.wait(lambda masters: masters == {"carp-1"})
    assert record.most == 1
    scene.wait_pod("carp-2", lambda pod: annotation_of(pod, "contested") is not None)


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


def test_no_list_ever_has_two_masters_whoever_takes_over_and_however_slow_the_server_is(scene: Scene) -> None:
    scene.pod("web-1", node="n1", labels=WORKLOAD)
    scene.pod("web-2", node="n2", labels=WORKLOAD)
    running = {"carp-1": start(scene, 1), "carp-2": start(scene, 2)}
    latencies_s: list[float] = []
    with Record(scene) as record, Record(scene, "app=web") as workloads:
        running["carp-1"].snapshot("master")
        record.wait(lambda masters: masters == {"carp-1"})
        for number in range(24):
            old, new = ("carp-1", "carp-2") if number % 2 == 0 else ("carp-2", "carp-1")
            silent = number % 3 == 0
            slow = scene.proxy.strike(Fault("PATCH", "/status", hang_s=0.0, slow_s=0.03 if number % 4 else 0.001))
            since = time.monotonic()
            if not silent:
                running[old].snapshot("backup", "asked to step down")
            running[new].snapshot("master", SILENT[0] if silent else "the master bowed out")
            record.wait(lambda masters, new=new: masters == {new})  # type: ignore[misc]
            latencies_s.append(time.monotonic() - since)
            if silent:
                running[old].snapshot("backup", "the lease ran out before it was renewed")
            scene.wait_role(old, "backup")
            workloads.wait(lambda masters, new=new: masters == {new.replace("carp", "web")})  # type: ignore[misc]
            assert slow.struck
            scene.proxy.relent()
    assert record.most == workloads.most == 1
    assert statistics.median(latencies_s) < 0.3, "on a busy machine, with two servers' work in one process"
    assert not any(event["type"] == "Warning" for event in scene.events())


def test_while_it_is_marked_a_pod_is_put_right_only_by_its_own_reporter(scene: Scene) -> None:
    """Two that take over at one moment, of which one yields."""
    first, second, third = start(scene, 1), start(scene, 2), start(scene, 3)
    first.snapshot("master")
    scene.wait_role("carp-1", "master")
    with Record(scene) as record:
        first.snapshot("backup", "asked to step down")
        for running in (second, third):
            running.snapshot("master", "the master bowed out")
        third.snapshot("backup", "a better master advertises")
        record.wait(lambda masters: masters == {"carp-2"})
        scene.wait_role("carp-3", "backup")
    assert role_of(scene.read("carp-2")) == "master"


def test_one_that_was_cut_off_claims_again_as_soon_as_the_other_has_yielded(scene: Scene) -> None:
    first, second, _ = cut_off_and_back(scene)
    second.snapshot("backup", "a better master advertises")
    wait_for_label(scene, first)


def test_one_that_was_cut_off_and_hears_the_other_does_not_wait_for_its_watch(scene: Scene) -> None:
    first, second, since_s = cut_off_and_back(scene, watches_hang=True)
    lists = scene.proxy.count("GET", "carp-role")
    first.snapshot("master", since_s=since_s, outranked_s=time.time())
    scene.proxy.wait(lambda seen: sum("carp-role" in one.path for one in seen) > lists)
    second.snapshot("backup", "a better master advertises")
    wait_for_label(scene, first)


def cut_off_and_back(scene: Scene, watches_hang: bool = False) -> tuple[Running, Running, float]:
    """Two that are master, the second by a silent takeover from the first; and since when the first one is.

    What the first one would wait for by itself is longer than any test waits.
    """
    timing = replace(QUICK, settle_s=1000.0)
    running = []
    for number in (1, 2):
        scene.pod(f"carp-{number}", node=f"n{number}")
        running.append(scene.start(scene.settings(f"carp-{number}", node_name=f"n{number}"), timing=timing))
    first, second = running
    since_s = time.time()
    first.snapshot("master", since_s=since_s)
    scene.wait_role("carp-1", "master")
    wait_until(lambda: any("master" in view.roles.values() for view in second.reporter.cluster()), "seen")
    if watches_hang:
        scene.proxy.strike(Fault(watches=True, hang_s=1000.0))
        scene.proxy.cut()
    second.snapshot("master", SILENT[0])
    scene.wait_role("carp-1", "unknown")
    scene.wait_role("carp-2", "master")
    return first, second, since_s


def wait_for_label(scene: Scene, first: Running) -> None:
    """Of carp-1, whose engine goes on."""

    def is_labelled() -> bool:
        first.heartbeat()
        return role_of(scene.read("carp-1")) == "master"

    wait_until(is_labelled, "the first one's label")


def kill(running: Running) -> None:
    """End its threads without a last write."""
    reporter = running.reporter
    reporter._queue.shut_down()
    for reflector in reporter._reflectors:
        reflector.stop()
    for worker in reporter._workers:
        worker.join(5)
