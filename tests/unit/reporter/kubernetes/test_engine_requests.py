"""What the engine is asked for, and when."""

import pytest

from carpsidecar.ipc.messages import PEERS_MAX, SetAdvskew, SetDemotion, SetPeers, ToEngine
from carpsidecar.reporter.kubernetes.cache import Cache
from carpsidecar.reporter.kubernetes.engine_requests import (
    BadLabel,
    EngineRequests,
    advskew,
    peers,
    unready_containers,
    unready_workloads,
)
from carpsidecar.reporter.kubernetes.objects import Node
from carpsidecar.reporter.kubernetes.recorder import EventRecorder
from carpsidecar.status.stats import ApiStats
from tests.unit.reporter.kubernetes.samples import NO_API, SETTINGS, pod

READY, UNREADY = {"web": True}, {"web": False}


def test_our_own_container_does_not_count() -> None:
    containers = {"carpsidecar": False, "carpsidecar-reporter": False, "web": False, "db": True, "a": False}
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


class Engine:
    """Args: events: counts what was recorded."""

    def __init__(self) -> None:
        self.requests: list[ToEngine] = []
        self.events = 0
        cache = Cache(SETTINGS, lambda: True)
        recorder = EventRecorder(cache, NO_API, ApiStats(), self._count)
        self.asked = EngineRequests(cache, self.requests.append, recorder)

    def _count(self) -> None:
        self.events += 1


def test_a_thing_is_requested_only_when_it_is_another_than_before() -> None:
    engine = Engine()
    engine.asked.demote("cordon", 0)
    assert engine.events == 0, "nothing new, but what a former reporter requested is taken back"
    engine.asked.demote("cordon", 300)
    engine.asked.demote("cordon", 300)
    assert engine.events == 1
    engine.asked.set_advskew(None)
    engine.asked.set_advskew(None)
    engine.asked.set_peers([])
    engine.asked.set_peers(["192.0.2.1"])
    engine.asked.set_peers(["192.0.2.1"])
    assert engine.requests == [
        SetDemotion(cause="cordon", amount=0),
        SetDemotion(cause="cordon", amount=255, bow_out=True),
        SetAdvskew(advskew=None),
        SetPeers(peers=[]),
        SetPeers(peers=["192.0.2.1"]),
    ]


def test_there_are_no_more_peers_than_a_message_holds() -> None:
    engine = Engine()
    engine.asked.set_peers([f"2001:db8::{number:x}" for number in range(PEERS_MAX + 1)])
    [request] = engine.requests
    assert isinstance(request, SetPeers)
    assert len(request.peers) == PEERS_MAX


def test_an_engine_that_is_gone_does_no_harm() -> None:
    def send(_: ToEngine) -> None:
        raise RuntimeError("Event loop is closed")

    cache = Cache(SETTINGS, lambda: True)
    EngineRequests(cache, send, EventRecorder(cache, NO_API, ApiStats(), lambda: None)).demote("cordon", 50)
