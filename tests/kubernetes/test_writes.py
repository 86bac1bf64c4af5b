"""What a reporter writes to its own pod, seen by somebody else's eyes."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from carpsidecar.ipc.messages import GroupGone, Notice, Role
from carpsidecar.reporter.kubernetes.client import Timing
from carpsidecar.reporter.kubernetes.transitions import HANDOVER_S
from tests.kubernetes.admin import Object
from tests.kubernetes.scene import QUICK, Scene, annotation_of, condition_of, role_of
from tests.support.waits import wait_until


def test_each_role_is_told_by_label_annotations_and_condition(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start()
    roles: tuple[Role, ...] = ("init", "backup", "master", "fault", "backup")
    for number, role in enumerate(roles):
        running.snapshot(role, f"reason {number}", since_s=1_800_000_000.25 + number)
        pod = scene.wait_pod("carp-1", reason_is(f"reason {number}"))
        assert role_of(pod) == role
        since = datetime.fromisoformat(annotation_of(pod, "since") or "")
        assert since == datetime.fromtimestamp(1_800_000_000.25 + number, UTC)
        assert annotation_of(pod, "addresses") == "10.77.0.100"
        condition = condition_of(pod)
        assert condition is not None
        assert condition["status"] == ("True" if role == "master" else "False")
        assert condition["reason"] == role.capitalize()
        assert condition["message"] == f"reason {number}"


def test_further_groups_have_names_of_their_own_and_one_that_is_gone_leaves_nothing(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start()
    running.snapshot("backup", group="web")
    running.snapshot("master", group="mail", addresses=["10.77.0.101", "fd00::101"])
    pod = scene.wait_pod("carp-1", lambda pod: role_of(pod, "carp-role-mail") == "master")
    assert role_of(pod) == "backup"
    assert annotation_of(pod, "addresses-mail") == "10.77.0.101,fd00::101"
    condition = condition_of(pod, "carpsidecar.io/elected-mail")
    assert condition is not None
    assert condition["status"] == "True"
    scene.admin.patch(f"{scene.pods}/carp-1", {"metadata": {"annotations": {"carpsidecar.io/mine": "kept"}}})
    running.state.receive(GroupGone(group="mail"))
    pod = scene.wait_pod("carp-1", lambda pod: role_of(pod, "carp-role-mail") is None)
    assert condition_of(pod, "carpsidecar.io/elected-mail") is None
    assert annotation_of(pod, "since-mail") is None
    assert annotation_of(pod, "mine") == "kept"
    assert role_of(pod) == "backup"


def test_what_demotes_is_part_of_the_reason(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start()
    running.snapshot("backup", "demoted", demotions={"http:web": 100, "cordon": 50})
    scene.wait_pod("carp-1", reason_is("demoted; demoted: cordon (50), http:web (100)"))


def test_nothing_is_written_while_nothing_changes(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start()
    running.snapshot("master", since_s=1_800_000_000.0)
    scene.wait_role("carp-1", "master")
    scene.wait_event("CarpMaster")
    wait_until(lambda: running.stats.writes.total() == 2, "written")
    for _ in range(50):
        running.heartbeat()
        running.snapshot("master", since_s=1_800_000_000.0)
    scene.status("carp-1", {"carpsidecar": False})
    wait_until(lambda: not running.reporter.cluster()[0].ready, "seen")
    running.snapshot("backup", since_s=1_800_000_001.0)
    scene.wait_role("carp-1", "backup")
    scene.wait_event("CarpBackup")
    # The second transition: its label, and its event; and at most one that came too late for what the test changed.
    wait_until(lambda: running.stats.writes.total() >= 4, "written")
    assert running.stats.writes.total() == 4
    assert running.stats.failures.keys() <= {"conflict"}


def test_what_somebody_else_changes_is_put_back_but_not_in_a_fight_without_an_end(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start()
    running.snapshot("master")
    scene.wait_role("carp-1", "master")
    for role in ("backup", None):
        scene.admin.patch(f"{scene.pods}/carp-1", {"metadata": {"labels": {"carp-role": role}}})
        scene.wait_role("carp-1", "master")
    scene.logs.wait("somebody else changed its role")

    def fight(rounds: int) -> None:
        for number in range(rounds):
            scene.admin.patch(f"{scene.pods}/carp-1", {"metadata": {"labels": {"carp-role": f"not-{number}"}}})
            scene.wait_role("carp-1", "master", timeout_s=1.5)

    with pytest.raises(AssertionError):
        fight(10)
    running.snapshot("backup")
    scene.wait_role("carp-1", "backup", timeout_s=2)


def test_events_say_what_happened_and_repeats_are_a_series(scene: Scene) -> None:
    pod = scene.pod("carp-1")
    running = scene.start()
    running.snapshot("backup", "started")
    running.snapshot("master", "no advertisement from the master")
    event = scene.wait_event("CarpMaster")
    assert event["note"] == "web: master now: no advertisement from the master (node n1, pod carp-1)"
    assert event["type"] == "Normal"
    assert event["action"] == "TakeOver"
    assert event["reportingController"] == "carpsidecar.io/carpsidecar"
    assert event["reportingInstance"] == "carp-1"
    assert event["regarding"]["uid"] == pod["metadata"]["uid"]
    running.snapshot("backup", "a better master advertises")
    running.snapshot("master", "no advertisement from the master")
    event = scene.wait_event("CarpMaster", count=2)
    assert event["series"]["lastObservedTime"] > event["eventTime"]
    running.snapshot("fault", "the link is lost")
    assert scene.wait_event("CarpFault", "the link is lost")["type"] == "Warning"
    running.state.engine_gone(1_900_000_000.0)
    scene.wait_event("CarpFault", "the engine is gone")
    assert sum(event["reason"] == "CarpMaster" for event in scene.events()) == 1


def test_a_stranger_who_forges_packets_does_not_flood_the_api(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start()
    running.snapshot("backup")
    scene.wait_event("CarpBackup")
    running.snapshot("master")
    scene.wait_event("CarpMaster")
    for number in range(1000):
        for kind in ("conflict", "bad_digest"):
            running.state.receive(
                Notice(kind=kind, group="web", interface="eth0", peer=f"192.0.2.{number}", text=f"from {number}")
            )
    scene.wait_event("CarpBadDigest")
    running.snapshot("backup", "after that")
    scene.wait_event("CarpBackup", "after that")
    assert scene.proxy.count("POST", "/events") + scene.proxy.count("PATCH", "/events") < 15


def test_a_reporter_that_starts_again_says_nothing_twice(scene: Scene) -> None:
    scene.pod("carp-1")
    since_s = 1_800_000_000.123456
    first = scene.start()
    first.snapshot("master", since_s=since_s)
    scene.wait_event("CarpMaster")
    scene.wait_role("carp-1", "master")
    first.reporter.stop(0.0)
    before = scene.proxy.count("PATCH") + scene.proxy.count("POST")
    second = scene.start()
    second.snapshot("master", since_s=since_s)
    wait_until(lambda: bool(second.reporter.cluster()), "listed")
    second.snapshot("backup")
    # Two threads write them, in any order.
    scene.wait_event("CarpBackup")
    scene.wait_role("carp-1", "backup")
    assert scene.proxy.count("PATCH") + scene.proxy.count("POST") == before + 2


def test_the_last_word_is_that_of_the_engine_that_ends(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start()
    running.snapshot("master")
    scene.wait_role("carp-1", "master")
    running.state.engine_gone(1_800_000_000.0)
    running.reporter.stop(5.0)
    pod = scene.read("carp-1")
    assert role_of(pod) == "init"
    assert annotation_of(pod, "reason") == "the engine is gone"
    condition = condition_of(pod)
    assert condition is not None
    assert condition["status"] == "False"


def reason_is(reason: str) -> Callable[[Object], bool]:
    return lambda pod: annotation_of(pod, "reason") == reason


def conflict(peer: str = "02:00:00:00:00:99") -> Notice:
    text = f"{peer} claims 192.0.2.100"
    return Notice(
        kind="conflict",
        group="web",
        interface="eth0",
        peer=peer,
        text=text,
    )


def test_a_claim_by_a_stranger_is_a_warning(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start()
    running.snapshot("master")
    running.state.receive(conflict())
    assert scene.wait_event("CarpConflict", "claims 192.0.2.100")["type"] == "Warning"


def test_a_claim_by_a_member_that_took_over_at_the_same_moment_is_none(scene: Scene) -> None:
    for number in (1, 2):
        scene.pod(f"carp-{number}", node=f"n{number}")
    first, second = scene.start(), scene.start(scene.settings("carp-2", node_name="n2"))
    for running in (first, second):
        running.snapshot("master", "the master bowed out")
        running.state.receive(conflict())
    second.snapshot("backup", "a better master advertises")
    scene.wait_role("carp-2", "backup")
    scene.wait_role("carp-1", "master")
    # What is recorded after it comes after it.
    time.sleep(HANDOVER_S + 0.5)
    first.snapshot("backup")
    scene.wait_event("CarpBackup", "pod carp-1")
    assert {event["reason"] for event in scene.events()} == {"CarpMaster", "CarpBackup"}
    assert {event["type"] for event in scene.events()} == {"Normal"}


def test_at_rest_nothing_is_asked_but_to_go_on_watching(scene: Scene) -> None:
    name = f"{scene.namespace}-n1"
    scene.node(name)
    scene.pod("carp-1", node=name)
    watch_s, rest_s = 2.0, 6.0
    settings = scene.settings(
        node_name=name, cordon_demotion=50, check_addresses=True, workload_selector="app=web", absent_demotion=100
    )
    running = scene.start(settings, timing=replace(QUICK, watch_s=watch_s))
    running.snapshot("master")
    scene.wait_role("carp-1", "master")
    scene.wait_event("CarpMaster")
    scene.proxy.wait(lambda seen: any("/services" in one.path for one in seen))
    # A test of what does not happen takes its time.
    time.sleep(1.0)
    before = len(scene.proxy.seen)
    since = time.monotonic()
    while time.monotonic() - since < rest_s:
        running.heartbeat()
        time.sleep(0.2)
    seen = scene.proxy.seen[before:]
    watchers = 3
    assert all("watch=1" in one.path for one in seen), seen
    assert len(seen) <= watchers * (rest_s / (0.8 * watch_s) + 1)
    # With the pods' and the node's watch of the chart's defaults: about one a minute.
    assert 2 * 60 / (0.9 * Timing().watch_s) < 1.2
