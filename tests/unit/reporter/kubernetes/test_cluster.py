"""What follows from pods and nodes."""

import pytest

from carpsidecar.reporter.kubernetes.cluster import (
    BadLabel,
    advskew,
    peers,
    unready_containers,
    unready_workloads,
    view,
)
from carpsidecar.reporter.kubernetes.objects import Condition, Node
from tests.unit.reporter.kubernetes.samples import pod

READY, UNREADY = {"web": True}, {"web": False}


def test_our_own_container_does_not_count() -> None:
    containers = {"carpsidecar": False, "web": False, "db": True, "a": False}
    assert unready_containers(pod(containers=containers), "carpsidecar") == ["a", "web"]


def test_a_workload_pod_is_ready_when_its_containers_are() -> None:
    assert unready_workloads([]) == []
    assert unready_workloads([pod(containers=READY, ready=False)]) == []
    assert unready_workloads([pod(name="a", containers=UNREADY), pod(name="b", containers=READY)]) == ["a"]
    assert unready_workloads([pod(name="new", phase="Pending")]) == ["new"]
    assert unready_workloads([pod(containers=UNREADY, phase="Succeeded")]) == []


def test_a_workload_pod_that_leaves_counts_where_no_other_takes_its_place() -> None:
    leaving = pod(name="old", containers=READY, leaving=True)
    assert unready_workloads([leaving]) == ["old"]
    assert unready_workloads([leaving, pod(name="new", containers=READY)]) == []
    assert unready_workloads([leaving, pod(name="new", containers=UNREADY)]) == ["new"]


@pytest.mark.parametrize(("value", "expected"), [("0", 0), ("254", 254), ("007", 7)])
def test_the_advskew_is_the_labels(value: str, expected: int) -> None:
    assert advskew(Node("n1", False, {"skew": value}), "skew") == expected
    assert advskew(Node("n1", False, {"skew": value}), "other") is None


@pytest.mark.parametrize("value", ["", "-1", "255", "1.5", "ten", "\u0661", "\u00b2", "9" * 5000])
def test_a_label_that_is_no_advskew_is_refused_with_what_to_do(value: str) -> None:
    with pytest.raises(BadLabel, match="give a whole number from 0 to 254"):
        advskew(Node("n1", False, {"skew": value}), "skew")


def test_peers_are_in_order_once_each_and_without_ourselves() -> None:
    own = pod(host_ips=("192.0.2.11", "2001:db8::11"))
    others = [
        pod(name="b", host_ips=("2001:db8::2", "192.0.2.100")),
        pod(name="c", host_ips=("192.0.2.9", "nonsense")),
        pod(name="d", host_ips=("192.0.2.9",), phase="Pending"),
        pod(name="e", host_ips=("192.0.2.11",)),
        pod(name="f", host_ips=("192.0.2.8",), phase="Failed"),
        pod(name="g"),
    ]
    assert peers(own, others) == ["192.0.2.9", "192.0.2.100", "2001:db8::2"]


def test_the_page_shows_roles_by_group() -> None:
    labels = {"carp-role": "master", "carp-role-mail": "backup", "carp-rolex": "x"}
    annotations = {"carpsidecar.io/since": "then", "carpsidecar.io/reason": "why"}
    shown = view(pod(labels=labels, annotations=annotations, ready=True), {"web": "", "mail": "-mail"})
    assert shown.roles == {"web": "master", "mail": "backup"}
    assert (shown.since, shown.reason, shown.ready, shown.alive) == ("then", "why", True, True)


@pytest.mark.parametrize(
    ("values", "alive"),
    [
        ({"ready": True}, True),
        ({"containers_ready": False}, True),
        ({"containers_ready": True}, False),
        ({"containers_ready": True, "conditions": {"carpsidecar.io/elected": Condition("False", "", "")}}, True),
        ({"ready": True, "labels": {"carp-role": "unknown"}}, False),
        ({"ready": True, "phase": "Failed"}, False),
    ],
)
def test_a_pod_whose_node_is_lost_is_not_alive(values: dict[str, object], alive: bool) -> None:
    assert view(pod(**values), {"web": ""}).alive is alive
