"""Whatever fails meanwhile, in the end the newest state is there, and nothing is written any more."""

import random
import time

import pytest
from msgspec.structs import replace

from carpsidecar.ipc.messages import Role
from tests.kubernetes.proxy import Fault
from tests.kubernetes.scene import QUICK, WORKLOAD, Scene, annotation_of
from tests.support.waits import wait_until

ROLES: tuple[Role, ...] = ("init", "backup", "master", "fault")
STATUSES = (401, 403, 409, 410, 429, 500, 503, 504)
TRANSITIONS = 60


@pytest.mark.parametrize("seed", range(3))
def test_in_the_end_all_is_as_it_should_be(scene: Scene, seed: int) -> None:
    chance = random.Random(seed)
    scene.pod("carp-1")
    scene.pod("web-1", labels=WORKLOAD)
    timing = replace(QUICK, answer_s=0.3, watch_s=1.0, watch_grace_s=0.3, backoff_max_s=0.3, forbidden_s=0.1)
    running = scene.start(scene.settings(workload_selector="app=web"), timing=timing)
    for number in range(TRANSITIONS):
        running.snapshot(chance.choice(ROLES), f"reason {number}")
        strike(scene, chance)
        time.sleep(chance.uniform(0.0, 0.06))
    scene.proxy.relent()
    running.snapshot("master", "the newest")
    scene.wait_pod("carp-1", lambda pod: annotation_of(pod, "reason") == "the newest")
    scene.wait_role("web-1", "master")
    # Longer than anything that is under way may take.
    time.sleep(1.0)
    before = scene.proxy.count("PATCH", "/pods/")
    assert annotation_of(scene.read("carp-1"), "reason") == "the newest"
    scene.pod("carp-2", node="n2")
    wait_until(lambda: len(running.reporter.cluster()) == 2, "the watch lives")
    running.snapshot("backup", "the very newest")
    scene.wait_role("carp-1", "backup")
    scene.wait_role("web-1", "backup")
    assert scene.proxy.count("PATCH", "/pods/") == before + 2


def strike(scene: Scene, chance: random.Random) -> None:
    method = chance.choice(("PATCH", "GET", "POST"))
    what = chance.randrange(6)
    if what == 0:
        scene.proxy.strike(Fault(method, times=2, status=chance.choice(STATUSES)))
    elif what == 1:
        scene.proxy.strike(Fault(method, times=1, hang_s=1.0, passed_on=True))
    elif what == 2:
        scene.proxy.strike(Fault("PATCH", times=1, late_s=0.5))
    elif what == 3:
        scene.proxy.cut()
    elif what == 4:
        scene.admin.patch(f"{scene.pods}/carp-1", {"metadata": {"labels": {"carp-role": "nonsense"}}})
