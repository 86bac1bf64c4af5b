"""The admission policy for Services, in a real API server: what our token may patch, and what its thief may not."""

from typing import Any

import pytest

from tests.chart.cases import CASES
from tests.chart.conftest import Select
from tests.chart.policy import BASE, Cluster, install, thief
from tests.kubernetes.admin import Admin, Refused
from tests.kubernetes.control_plane import ControlPlane
from tests.support.waits import wait_until

VALUES = CASES["Services beside a vip"]
CLASS = VALUES["loadBalancer"]["class"]
ADDRESS = {"status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.1", "ipMode": "VIP"}]}}}
ALLOCATED = {"type": "carpsidecar.io/allocated", "status": "True", "reason": "Assigned", "message": "for a test"}
ALLOCATED["lastTransitionTime"] = "2026-12-01T00:00:00Z"
OURS: dict[str, Any] = {
    "metadata": {
        "annotations": {
            "carpsidecar.io/allocation": '{"198.51.100.1":20000}',
            "carpsidecar.io/class": CLASS,
            "carpsidecar.io/node": "n1",
        }
    },
    "status": {**ADDRESS["status"], "conditions": [ALLOCATED]},
}


@pytest.fixture(scope="module")
def cluster(plane: ControlPlane, rendered: Select) -> Cluster:
    admin = Admin(plane.port, plane.context())
    install(admin, rendered(VALUES, ""))
    for name, class_ in (("ours", CLASS), ("theirs", "other.io/lb"), ("none", None), ("was-ours", CLASS)):
        spec = {"type": "LoadBalancer", "loadBalancerClass": class_, "ports": [{"port": 80}]}
        admin.create(f"{BASE}/services", {"metadata": {"name": name, "labels": {"app": "web"}}, "spec": spec})
    cluster = Cluster(admin, thief(plane, admin), "services")
    wait_until(lambda: is_in_force(cluster), "the policy is in force")
    return cluster


def is_in_force(cluster: Cluster) -> bool:
    try:
        cluster.patch("theirs", {"metadata": {"labels": {"for": "a-test"}}})
    except Refused as refusal:
        return "ValidatingAdmissionPolicy" in str(refusal)
    cluster.admin.patch(f"{BASE}/services/theirs", {"metadata": {"labels": {"for": None}}})
    return False


def test_what_the_program_writes_is_let_through(cluster: Cluster) -> None:
    cluster.patch("ours", OURS)
    cluster.patch("was-ours", OURS)
    cluster.admin.patch(f"{BASE}/services/was-ours", {"spec": {"type": "ClusterIP", "loadBalancerClass": None}})
    taken_back = {
        "metadata": {"annotations": dict.fromkeys(OURS["metadata"]["annotations"])},
        "status": {
            "loadBalancer": {"ingress": None},
            "conditions": [{"type": ALLOCATED["type"], "$patch": "delete"}],
        },
    }
    cluster.patch("was-ours", taken_back)
    left = cluster.admin.get(f"{BASE}/services/was-ours")
    assert "annotations" not in left["metadata"]
    assert not left["status"].get("conditions")


FORBIDDEN: dict[str, tuple[str, dict[str, Any], str]] = {
    "an address for another class": ("theirs", ADDRESS, "only a Service of our class"),
    "an address for one without a class": ("none", ADDRESS, "only a Service of our class"),
    "a label": ("ours", {"metadata": {"labels": {"app": "other"}}}, "labels, finalizers and owners"),
    "a finalizer": ("ours", {"metadata": {"finalizers": ["example.org/keep"]}}, "labels, finalizers and owners"),
    "an annotation": ("ours", {"metadata": {"annotations": {"example.org/a": "b"}}}, "only annotations"),
    "a request": ("ours", {"metadata": {"annotations": {"carpsidecar.io/address": "1.2.3.4"}}}, "only annotations"),
    "a condition": (
        "ours",
        {"status": {"conditions": [{**ALLOCATED, "type": "example.org/a"}]}},
        "only conditions",
    ),
}


@pytest.mark.parametrize("case", FORBIDDEN)
def test_a_thief_of_the_token_can_not_give(cluster: Cluster, case: str) -> None:
    service, body, message = FORBIDDEN[case]
    before = cluster.admin.get(f"{BASE}/services/{service}")
    with pytest.raises(Refused, match=message):
        cluster.patch(service, body)
    assert cluster.admin.get(f"{BASE}/services/{service}") == before


def test_nor_change_what_a_service_leads_to(cluster: Cluster) -> None:
    with pytest.raises(Refused, match="cannot patch"):
        cluster.thief.patch(f"{BASE}/services/ours", {"spec": {"selector": {"app": "mine"}}})
