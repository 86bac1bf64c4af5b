"""Health: alive while the engine is heard, ready while every group takes part, master where every group is."""

import time

import pytest

from carpsidecar.ipc.settings import Configuration
from carpsidecar.status.state import ENGINE_SILENT_AFTER_S, State
from tests.support.builders import heartbeat, snapshot
from tests.unit.reporter.http.serving import Served, get, serve


class Clock:
    def __init__(self) -> None:
        self.now = time.monotonic()

    def __call__(self) -> float:
        return self.now


def beating(*groups: object) -> State:
    state = State()
    state.receive(heartbeat())
    for group in groups:
        state.receive(group)  # type: ignore[arg-type]
    return state


def statuses(served: Served, *paths: str) -> list[int]:
    return [get(served, path).status for path in paths]


def test_it_is_alive_while_the_engine_is_heard_and_says_since_when_not() -> None:
    clock = Clock()
    state = State(clock)
    with serve(state) as served:
        assert get(served, "/healthz").status == 503
        assert "not been heard yet" in get(served, "/healthz").text
        served.do(lambda: state.receive(heartbeat()))
        assert get(served, "/healthz").status == 200
        clock.now += ENGINE_SILENT_AFTER_S + 1.25
        reply = get(served, "/healthz")
        assert (reply.status, reply.text) == (503, "the engine has not been heard for 4.2 s\n")


def test_while_the_engine_is_silent_nobody_is_ready_or_master() -> None:
    state = State()
    state.receive(snapshot(role="master"))
    with serve(state) as served:
        assert statuses(served, "/readyz", "/readyz/master", "/readyz/master?group=web") == [503, 503, 503]


@pytest.mark.parametrize(
    ("role", "ready", "master"),
    [("init", 503, 503), ("backup", 200, 503), ("master", 200, 200), ("fault", 503, 503)],
)
def test_one_group_decides_by_its_role_and_the_body_says_why(role: str, ready: int, master: int) -> None:
    with serve(beating(snapshot(role=role, reason="so it is"))) as served:
        assert statuses(served, "/readyz", "/readyz/master") == [ready, master]
        assert get(served, "/readyz").text == f"web: {role} (so it is)\n"


def test_of_many_groups_all_decide_unless_one_is_asked_for() -> None:
    groups = (snapshot(role="master"), snapshot("db"), snapshot("a b", role="fault"))
    with serve(beating(*groups)) as served:
        assert statuses(served, "/readyz", "/readyz/master") == [503, 503]
        assert statuses(served, "/readyz?group=web", "/readyz/master?group=web") == [200, 200]
        assert statuses(served, "/readyz?group=db", "/readyz/master?group=db") == [200, 503]
        assert statuses(served, "/readyz?group=a+b", "/readyz?group=a%20b") == [503, 503]
        assert get(served, "/readyz/master?group=db").text == "db: backup (started)\n"


def test_without_any_group_it_is_not_ready() -> None:
    with serve(beating()) as served:
        assert statuses(served, "/readyz", "/readyz/master") == [503, 503]


def test_a_group_that_there_is_not_is_not_found_and_a_question_that_is_none_is_refused() -> None:
    with serve(beating(snapshot(role="master"))) as served:
        reply = get(served, "/readyz/master?group=wbe")
        assert (reply.status, reply.text) == (404, "there is no group 'wbe'; there are: web\n")
        assert get(served, "/readyz/master?grup=web").status == 400
        assert get(served, "/readyz/master?group=web&group=web").status == 400
        assert get(served, "/readyz?" + "&".join("group=web" for _ in range(50))).status == 400


def test_addresses_of_services_make_no_pod_unready() -> None:
    state = beating(snapshot("web", role="backup"), snapshot("lb-1001", role="fault", services=["shop/front"]))
    with serve(state) as served:
        assert statuses(served, "/readyz", "/readyz?group=lb-1001") == [200, 503]


def test_where_there_is_nothing_but_addresses_of_services_a_pod_is_ready() -> None:
    state = beating(snapshot("lb-1001", role="fault", services=["shop/front"]))
    with serve(state) as served:
        assert statuses(served, "/readyz") == [503]
        served.do(lambda: state.receive(Configuration(document={"load_balancer": {}})))
        assert statuses(served, "/readyz") == [200]
