"""Each way in which an API server can fail, by a proxy before a real one."""

import time

import pytest
from msgspec.structs import replace

from carpsidecar.reporter.kubernetes.client import Timing
from carpsidecar.reporter.kubernetes.rbac import rules
from tests.kubernetes.proxy import Fault, Seen
from tests.kubernetes.scene import QUICK, WORKLOAD, Scene, role_of
from tests.support.builders import counters, heartbeat
from tests.support.waits import wait_until

IMPATIENT = replace(QUICK, answer_s=0.5)


def statuses(scene: Scene, name: str = "carp-1") -> list[Seen]:
    return [seen for seen in scene.proxy.seen if seen.method == "PATCH" and f"/pods/{name}/status" in seen.path]


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (401, "unauthorized"),
        (403, "forbidden"),
        (404, "other"),
        (409, "conflict"),
        (410, "other"),
        (422, "other"),
        (429, "throttled"),
        (500, "server"),
        (503, "server"),
        (504, "timeout"),
    ],
)
@pytest.mark.parametrize("method", ["PATCH", "GET"])
def test_a_refusal_is_counted_and_tried_again(scene: Scene, status: int, failure: str, method: str) -> None:
    scene.pod("carp-1")
    fault = scene.proxy.strike(Fault(method, "/pods", times=3, status=status))
    running = scene.start(timing=replace(QUICK, backoff_max_s=0.2, forbidden_s=0.1))
    running.snapshot("master")
    if method == "PATCH" and status == 404:
        # The pod is gone: nothing is written to it, until a watch shows it again.
        wait_until(lambda: fault.struck == 1, "it was tried")
        running.snapshot("backup")
        wait_until(lambda: running.reporter.cluster() == [], "it is believed")
        assert len(statuses(scene)) == 1
        scene.status("carp-1", {"carpsidecar": False})
        wait_until(lambda: fault.struck == 2, "it was tried again")
    else:
        wait_until(lambda: fault.struck >= (2 if method == "GET" else 3), "it was tried again")
        scene.wait_role("carp-1", "master")
        assert running.stats.failures[failure] >= 2  # type: ignore[index]
    wait_until(lambda: running.stats.reachable, "it answers again")


def test_waits_double_and_end_when_there_is_news(scene: Scene) -> None:
    scene.pod("carp-1")
    fault = scene.proxy.strike(Fault("PATCH", status=500))
    running = scene.start(timing=replace(QUICK, backoff_max_s=1000.0))
    running.snapshot("backup")
    wait_until(lambda: fault.struck == 6, "it was tried")
    struck = fault.struck
    running.snapshot("master")
    wait_until(lambda: fault.struck == struck + 1, "it was tried again at once", within_s=0.7)
    scene.proxy.relent()
    running.snapshot("backup")
    scene.wait_role("carp-1", "backup", timeout_s=2)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured_even_if_there_is_news(scene: Scene, status: int) -> None:
    scene.pod("carp-1")
    running = scene.start()
    running.snapshot("backup")
    scene.wait_event("CarpBackup")
    scene.proxy.strike(Fault("PATCH", times=1, status=status, headers={"Retry-After": "2"}))
    running.snapshot("master")
    scene.logs.wait(f"HTTP {status}")
    count = len(statuses(scene))
    for _ in range(20):
        running.snapshot("backup")
        running.snapshot("master")
    with pytest.raises(AssertionError):
        wait_until(lambda: len(statuses(scene)) > count, "nothing, for that long", within_s=1.5)
    scene.wait_role("carp-1", "master")


def test_the_newest_state_is_written_after_an_outage_and_none_of_the_older_ones(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start()
    running.snapshot("backup")
    scene.wait_event("CarpBackup")
    scene.proxy.go_away()
    for number in range(20):
        running.snapshot("master", f"reason {number}")
        running.snapshot("backup", f"reason {number}")
    running.snapshot("fault", "the newest")
    wait_until(lambda: running.stats.failures["unreachable"] > 0, "it tried")
    assert not running.stats.reachable
    before = len(statuses(scene))
    scene.proxy.come_back()
    scene.wait_role("carp-1", "fault")
    wait_until(lambda: running.stats.reachable, "it knows that the server is back")
    assert len(statuses(scene)) - before <= 2
    scene.wait_event("CarpFault", "the newest")
    # Newest first: the last word about an older state is from before it.
    posts = [seen.body for seen in scene.proxy.seen if seen.method == "POST"]
    assert "the newest" in next(body for body in posts if "reason" in body and "for a test" not in body)


def test_a_write_that_arrives_late_does_not_undo_a_newer_one(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start(timing=IMPATIENT)
    running.snapshot("backup")
    scene.wait_role("carp-1", "backup")
    late = scene.proxy.strike(Fault("PATCH", "/status", times=1, late_s=1.5))
    running.snapshot("master")
    wait_until(lambda: late.struck == 1, "it hangs")
    running.snapshot("fault", "the link is lost")
    scene.wait_role("carp-1", "fault")
    count = len(statuses(scene))
    with pytest.raises(AssertionError):
        scene.wait_role("carp-1", "master", timeout_s=2)
    assert role_of(scene.read("carp-1")) == "fault"
    assert len(statuses(scene)) == count
    assert running.stats.failures["timeout"] >= 1


def test_a_write_that_succeeded_without_an_answer_is_not_a_problem(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start(timing=IMPATIENT)
    running.snapshot("backup")
    scene.wait_event("CarpBackup")
    for path in ("/status", "/events"):
        fault = scene.proxy.strike(Fault(path=path, times=1, passed_on=True, hang_s=2.0))
        running.snapshot("master", f"without an answer from {path}")
        wait_until(lambda f=fault: f.struck == 1, "it hangs")  # type: ignore[misc]
        running.snapshot("backup", f"after {path}")
        scene.wait_role("carp-1", "backup")
        scene.wait_event("CarpBackup", f"after {path}")
        scene.wait_event("CarpMaster", f"without an answer from {path}")
    posts = scene.proxy.count("POST")
    running.reporter.stop(5.0)
    assert len(scene.events()) == 5
    assert scene.proxy.count("POST") <= posts + 1
    assert "could be written in time" not in " ".join(scene.logs.lines)


def test_a_hung_server_is_given_up_and_found_again(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start(timing=replace(IMPATIENT, watch_s=1.0, watch_grace_s=0.5))
    running.snapshot("backup")
    scene.wait_role("carp-1", "backup")
    scene.proxy.strike(Fault(hang_s=60.0))
    scene.proxy.cut()
    running.snapshot("master")
    wait_until(lambda: running.stats.failures["timeout"] >= 4, "it is noticed")
    assert not running.stats.reachable
    scene.proxy.relent()
    scene.wait_role("carp-1", "master")


def test_a_watch_that_hangs_is_followed_by_another_that_misses_nothing(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start(timing=replace(QUICK, watch_s=1.0, watch_grace_s=0.5))
    wait_until(lambda: len(running.reporter.cluster()) == 1, "listed")
    # The watch after this one is to hang.
    scene.proxy.wait(lambda seen: any("watch=1" in one.path for one in seen))
    scene.proxy.strike(Fault(watches=True, times=1, hang_s=60.0))
    scene.proxy.cut()
    scene.pod("carp-2", node="n2")
    wait_until(lambda: len(running.reporter.cluster()) == 2, "seen")
    assert running.stats.failures["timeout"] >= 1
    lists = [seen for seen in scene.proxy.seen if seen.method == "GET" and "limit=" in seen.path]
    assert len(lists) == 1, "it goes on where it was"


def test_a_watch_that_is_cut_again_and_again_misses_nothing(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start()
    for number in range(2, 6):
        wait_until(lambda n=number: len(running.reporter.cluster()) == n - 1, "seen")  # type: ignore[misc]
        scene.proxy.cut()
        scene.pod(f"carp-{number}", node=f"n{number}")
    wait_until(lambda: len(running.reporter.cluster()) == 5, "seen")
    scene.admin.delete(f"{scene.pods}/carp-3")
    wait_until(lambda: [view.name for view in running.reporter.cluster()][2] == "carp-4", "gone")
    watches = [seen.path for seen in scene.proxy.seen if "watch=1" in seen.path]
    versions = [path.partition("resourceVersion=")[2].partition("&")[0] for path in watches]
    assert len(set(versions)) >= 4, "each goes on where the last one was"


def test_a_version_that_is_too_old_is_followed_by_a_list(scene: Scene) -> None:
    scene.pod("carp-1")
    scene.pod("carp-2", node="n2")
    running = scene.start()
    wait_until(lambda: len(running.reporter.cluster()) == 2, "listed")
    scene.proxy.strike(Fault(watches=True, status=410))
    scene.proxy.cut()
    scene.admin.delete(f"{scene.pods}/carp-2")
    scene.pod("carp-3", node="n3")
    lists = scene.proxy.count("GET", "limit=")
    scene.proxy.wait(lambda seen: sum("limit=" in one.path for one in seen) > lists)
    wait_until(lambda: [view.name for view in running.reporter.cluster()] == ["carp-1", "carp-3"], "seen")


def test_many_pods_are_listed_page_by_page(scene: Scene) -> None:
    scene.pod("carp-1")
    for number in range(60):
        pod = {
            "metadata": {"name": f"more-{number}", "labels": {"app": "carp"}},
            "spec": {"nodeName": f"n{number}", "containers": [{"name": "c", "image": "none"}]},
        }
        scene.admin.create(scene.pods, pod)
    running = scene.start()
    wait_until(lambda: len(running.reporter.cluster()) == 61, "all of them")
    assert scene.proxy.count("GET", "continue=") == 1


def test_a_token_that_is_rotated_is_read_again(scene: Scene) -> None:
    scene.pod("carp-1")
    settings = scene.settings()
    account = scene.account(rules(settings))
    running = scene.start(settings, account)
    running.snapshot("backup")
    scene.wait_role("carp-1", "backup")
    old = (account / "token").read_text()
    new = scene.token()
    assert new != old
    scene.rotate(account, new)
    # The old one expires: the server refuses it, and what is refused is asked once more with the new one.
    scene.proxy.strike(Fault("PATCH", times=1, status=401))
    running.snapshot("master")
    scene.wait_role("carp-1", "master", timeout_s=2)
    assert statuses(scene)[-1].token == new
    assert old not in " ".join(scene.logs.lines)


def test_a_token_that_is_no_good_is_said_without_it_and_replaced_when_there_is_one(scene: Scene) -> None:
    scene.pod("carp-1")
    settings = scene.settings()
    account = scene.account(rules(settings))
    good = (account / "token").read_text()
    scene.rotate(account, "no-good-at-all")
    running = scene.start(settings, account)
    running.snapshot("master")
    scene.logs.wait("HTTP 401")
    assert running.stats.failures["unauthorized"] >= 1
    (account / "token").unlink()
    scene.logs.wait(f"{account / 'token'}: No such file or directory")
    scene.rotate(account, good)
    scene.wait_role("carp-1", "master")
    assert not any("no-good-at-all" in line or good in line for line in scene.logs.lines)


def test_a_pod_that_is_deleted_is_written_to_no_more(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start()
    running.snapshot("backup")
    scene.wait_event("CarpBackup")
    scene.admin.delete(f"{scene.pods}/carp-1")
    scene.logs.wait("was deleted")
    before = len(statuses(scene))
    running.snapshot("master")
    scene.pod("carp-2", node="n2")
    wait_until(lambda: [view.name for view in running.reporter.cluster()] == ["carp-2"], "seen")
    assert len(statuses(scene)) == before
    scene.pod("carp-1")
    scene.wait_role("carp-1", "master")


def test_one_namespace_that_refuses_does_not_hold_up_the_others(scene: Scene) -> None:
    scene.pod("carp-1")
    scene.pod("web-1", labels=WORKLOAD)
    scene.pod("web-2", labels=WORKLOAD)
    running = scene.start(scene.settings(workload_selector="app=web"))
    scene.proxy.strike(Fault("PATCH", "/pods/web-1/status", status=500))
    for role in ("backup", "master"):
        running.snapshot(role)
        for name in ("carp-1", "web-2"):
            scene.wait_role(name, role)
        scene.wait_event(f"Carp{role.capitalize()}")
    assert role_of(scene.read("web-1")) is None


def test_stop_ends_in_time_though_the_server_hangs(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start()
    running.snapshot("master")
    scene.wait_role("carp-1", "master")
    scene.proxy.strike(Fault(hang_s=60.0))
    running.state.engine_gone(1_800_000_000.0)
    started = time.monotonic()
    running.reporter.stop(1.0)
    assert time.monotonic() - started < 2.0
    scene.logs.wait("could be written in time")


def test_while_a_role_is_unwritten_waits_end_at_five_seconds(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start(timing=replace(QUICK, backoff_max_s=1000.0, urgent_backoff_max_s=0.5))
    running.snapshot("backup")
    scene.wait_role("carp-1", "backup")
    scene.proxy.strike(Fault(status=503))
    scene.proxy.cut()
    running.snapshot("master")
    # Doubled eight times it would be a minute by now.
    scene.proxy.wait(lambda seen: sum("/status" in one.path or "limit=" in one.path for one in seen) > 12)
    scene.proxy.relent()
    scene.wait_role("carp-1", "master", timeout_s=2)
    assert Timing().urgent_backoff_max_s == 5.0


def test_a_write_of_a_role_that_hangs_is_given_up_for_a_new_one(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start(timing=replace(QUICK, answer_s=60.0, urgent_answer_s=0.5))
    running.snapshot("backup")
    scene.wait_role("carp-1", "backup")
    hung = scene.proxy.strike(Fault("PATCH", "/status", times=1, hang_s=60.0))
    running.snapshot("master")
    wait_until(lambda: hung.struck == 1, "it hangs")
    scene.wait_role("carp-1", "master", timeout_s=5)


def test_a_server_that_is_merely_slow_is_waited_for(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start(timing=replace(QUICK, urgent_answer_s=0.2))
    running.snapshot("backup")
    scene.wait_role("carp-1", "backup")
    scene.proxy.strike(Fault("PATCH", "/status", slow_s=0.7))
    running.snapshot("master")
    scene.wait_role("carp-1", "master")
    assert len(statuses(scene)) <= 4


def test_an_event_that_hangs_does_not_hold_up_a_role(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start(timing=replace(QUICK, answer_s=60.0))
    running.snapshot("backup")
    scene.wait_event("CarpBackup")
    hung = scene.proxy.strike(Fault("POST", "/events", hang_s=60.0))
    running.snapshot("master")
    wait_until(lambda: hung.struck == 1, "it hangs")
    running.snapshot("backup", "while it hangs")
    scene.wait_pod("carp-1", lambda pod: role_of(pod) == "backup", timeout_s=5)


def test_a_network_that_is_heard_again_is_tried_at_once(scene: Scene) -> None:
    scene.pod("carp-1")
    running = scene.start(timing=replace(QUICK, urgent_backoff_max_s=1000.0, backoff_max_s=1000.0))
    running.snapshot("backup")
    scene.wait_event("CarpBackup")
    fault = scene.proxy.strike(Fault(status=503))
    scene.proxy.cut()
    running.snapshot("master")
    wait_until(lambda: fault.struck > 8, "it is waited for long by now")
    for received in (5, 5):
        running.state.receive(heartbeat(counters={"web": counters(advertisements_received=received)}))
    scene.proxy.relent()
    running.state.receive(heartbeat(counters={"web": counters(advertisements_received=6)}))
    scene.wait_role("carp-1", "master", timeout_s=2)
