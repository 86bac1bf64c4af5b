"""The metrics can be read by Prometheus, count what the state says, and are all in the docs."""

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from carpsidecar.ipc.messages import GroupGone
from carpsidecar.reporter.http.metrics import CONTENT_TYPE, Metrics
from carpsidecar.status.model import ServiceView
from carpsidecar.status.state import State
from carpsidecar.status.stats import Stats
from tests.support.builders import counters, heartbeat, snapshot
from tests.unit.reporter.http.busy import busy_cluster, busy_state, busy_stats
from tests.unit.reporter.http.serving import get, serve

DOCS = Path(__file__).parents[4] / "docs" / "metrics.md"


def rendered(state: State, stats: Stats | None = None, in_kubernetes: bool = True) -> str:
    return Metrics(state, stats or Stats(), in_kubernetes).render().decode()


def values(text: str) -> dict[str, float]:
    """By the name and the labels' values, in the order of their names."""
    return {
        " ".join([sample.name, *(value for _, value in sorted(sample.labels.items()))]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def busy() -> str:
    stats = busy_stats()
    stats.api.split_brain.add("web")
    view = ServiceView("shop/front", {"192.0.2.7": "n1"}, allocated=True, held=True, text="")
    stats.services = lambda: [view, ServiceView("shop/back", {}, allocated=False, held=False, text="none left")]
    state = busy_state(time.time())
    for name, role in (("lb-1001", "master"), ("lb-1002", "backup")):
        state.receive(snapshot(name, role=role, addresses=[f"192.0.2.{name[-1]}"], services=["shop/front"]))
        state.counters[name] = counters()
    return rendered(state, stats)


def test_they_count_what_the_state_says() -> None:
    found = values(busy())
    assert found["carp_role web master"] == 1
    assert found["carp_role web backup"] == found["carp_role storage fault"] == 0
    assert found["carp_role storage backup"] == 1
    assert found["carp_transitions_total web master_silent master"] == 2
    assert found["carp_advertisements_sent_total web"] == 15_344
    assert found["carp_advertisement_failures_total web"] == 4
    assert found["carp_hook_runs_total web timeout"] == 1
    assert found["carp_hook_runs_total storage failed"] == 0
    assert found["carp_dropped_packets_total eth0 digest"] == 12
    assert found["carp_demotion check:postgres storage"] == 60
    assert found["carp_advertisement_interval_seconds storage"] == 1 + 160 / 256
    assert found["carp_check_healthy nginx"] == 1
    assert found["carp_check_healthy postgres"] == 0
    assert found["carp_check_results_total postgres bad"] == 206
    assert found["carp_api_writes_total event"] == 9
    assert found["carp_api_failures_total forbidden"] == 0
    assert (found["carp_split_brain web"], found["carp_split_brain storage"]) == (1, 0)
    assert found["carp_engine_up"] == 1
    assert abs(time.time() - 0.8 - found["carp_master_last_advertisement_timestamp_seconds storage"]) < 5


def test_addresses_of_services_have_metrics_by_service_and_none_by_group() -> None:
    found = values(busy())
    assert found["carp_service_master 192.0.2.1 shop front"] == 1
    assert found["carp_service_master 192.0.2.2 shop front"] == 0
    assert (found["carp_service_addresses master"], found["carp_service_addresses fault"]) == (1, 0)
    assert found["carp_service_allocated shop front"] == 1
    assert found["carp_service_allocated shop back"] == 0
    assert not any("lb-100" in key for key in found)


def test_where_services_get_no_addresses_nothing_is_said_of_them() -> None:
    assert "carp_service" not in rendered(busy_state(time.time()))


def test_roles_are_a_set_of_which_one_is_true() -> None:
    for group in ("web", "storage"):
        assert sum(value for key, value in values(busy()).items() if key.startswith(f"carp_role {group} ")) == 1


def test_before_anything_is_known_they_say_that() -> None:
    found = values(rendered(State()))
    assert found["carp_engine_up"] == 0
    assert not any("carp_role" in key or "heartbeat_age" in key for key in found)


def test_outside_kubernetes_nothing_is_said_of_its_api() -> None:
    text = rendered(State(), in_kubernetes=False)
    assert "carp_api" not in text
    assert "split_brain" not in text


def test_a_group_that_is_gone_is_gone() -> None:
    state = State()
    state.receive(snapshot())
    state.receive(heartbeat(counters={"web": counters()}, drops={"eth0": {"digest": 0}}))
    assert 'group="web"' in rendered(state)
    state.receive(GroupGone(group="web"))
    assert 'group="web"' not in rendered(state)


def test_names_of_groups_may_hold_anything() -> None:
    state = State()
    state.receive(snapshot('a "b"\\\n{c}'))
    (group,) = {
        sample.labels["group"]
        for family in text_string_to_metric_families(rendered(state))
        for sample in family.samples
        if "group" in sample.labels
    }
    assert group == 'a "b"\\\n{c}'


def test_counters_end_in_total_and_nothing_else_does() -> None:
    for family in text_string_to_metric_families(busy()):
        for sample in family.samples:
            if sample.name.startswith("carp_"):
                assert sample.name.endswith("_total") is (family.type == "counter"), sample.name
                assert not sample.name.endswith("_total_total")
                assert family.documentation


def test_two_servers_have_metrics_of_their_own() -> None:
    with serve() as one, serve(busy_state(time.time()), busy_stats(), lambda: busy_cluster("a", 1.0)) as other:
        assert "carp_role{" not in get(one, "/metrics").text
        reply = get(other, "/metrics")
        assert "carp_role{" in reply.text
        assert reply.headers["content-type"] == CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool (Debian: prometheus)")
def test_prometheus_own_linter_finds_nothing_to_say_of_ours() -> None:
    ours = "".join(line for line in busy().splitlines(keepends=True) if "carp_" in line)
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=ours, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_the_docs_list_every_metric_with_its_labels_and_no_other() -> None:
    there = {
        sample.name: {*sample.labels}
        for family in text_string_to_metric_families(busy())
        for sample in family.samples
        if sample.name.startswith("carp_")
    }
    listed = {
        name: {label.strip() for label in labels.split(",")} - {""}
        for name, labels in re.findall(r"^\| `(carp_\w+)(?:\{([\w, ]+)\})?` \|", DOCS.read_text(), re.MULTILINE)
    }
    assert listed == there
