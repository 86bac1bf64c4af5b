"""`/status.json` is what its schema says, and the newest comes first."""

import time

import msgspec

from carpsidecar.reporter.http.rested import FRESH_S, REST, Rested
from carpsidecar.reporter.http.status import PageStatus
from carpsidecar.status.builder import NOTICES_MAX, TRANSITIONS_MAX
from carpsidecar.status.state import State
from tests.support.builders import snapshot
from tests.unit.reporter.http.busy import busy_cluster, busy_state, busy_stats
from tests.unit.reporter.http.serving import Served, get, serve


def status(served: Served) -> PageStatus:
    reply = get(served, "/status.json")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    return msgspec.json.decode(reply.body, type=PageStatus)


def test_all_that_is_known_is_there() -> None:
    now_s = time.time()
    with serve(busy_state(now_s), busy_stats(), lambda: busy_cluster("a", now_s), node="a") as served:
        found = status(served)
    assert (found.node, found.answers) == ("a", True)
    assert {group.group: group.role for group in found.groups} == {"web": "master", "storage": "backup"}
    assert found.groups[0].demotions == {"check:postgres": 60}
    assert found.pods == busy_cluster("a", now_s)
    assert {check.name: check.healthy for check in found.checks} == {"nginx": True, "postgres": False}
    assert [notice.kind for notice in found.notices] == ["bad_digest", "conflict"]
    assert found.transitions[0].reason == "no advertisement from the master"
    assert all(count.value and count.name.endswith("_total") and count.meaning for count in found.metrics)
    assert "carp_dropped_packets_total" in {count.name for count in found.metrics}


def test_before_anything_is_known_it_can_be_read_too() -> None:
    with serve() as served:
        found = status(served)
    assert (found.answers, found.silent_s, found.groups, found.pods) == (False, None, [], None)
    assert (found.transitions, found.metrics) == ([], [])


def test_of_many_transitions_the_last_are_shown_the_newest_first() -> None:
    state = State()
    for number in range(TRANSITIONS_MAX + 20):
        state.receive(snapshot(since_s=float(number)))
    with serve(state) as served:
        times = [entered.at_s for entered in status(served).transitions]
    assert times == [float(number) for number in range(TRANSITIONS_MAX + 19, 19, -1)]
    assert NOTICES_MAX < TRANSITIONS_MAX


def test_it_is_made_no_more_often_than_its_cost_allows() -> None:
    now, made = 0.0, 0
    cost_s = 0.001

    def make() -> bytes:
        nonlocal now, made
        now += cost_s
        made += 1
        return str(made).encode()

    rested = Rested(make, clock=lambda: now)
    assert [rested() for _ in range(5)] == [b"1"] * 5
    now += FRESH_S
    assert rested() == b"2"
    now, cost_s = now + FRESH_S, 1.0
    assert rested() == b"3"
    now += REST * cost_s - 0.1
    assert rested() == b"3"
    now += 0.2
    assert rested() == b"4"
