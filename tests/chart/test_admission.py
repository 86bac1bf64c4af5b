"""The admission policy, in a real API server: what our token may patch, and what a thief of it may not."""

import json
import time
from typing import Any

import pytest

from tests.chart.cases import CASES
from tests.chart.conftest import Select
from tests.chart.helm import NAMESPACE
from tests.chart.policy import ACCOUNT, BASE, Cluster, install, thief
from tests.kubernetes.admin import Admin, Refused
from tests.kubernetes.control_plane import ControlPlane
from tests.support.waits import wait_until

NODE = "node-a"
ELECTED = {"type": "carpsidecar.io/elected", "status": "True", "reason": "Master", "message": "for a test"}
OTHER_NODES = ("of another node's pod only a label master may be changed",)


@pytest.fixture(scope="module")
def cluster(plane: ControlPlane, rendered: Select) -> Cluster:
    admin = Admin(plane.port, plane.context())
    admin.create("/api/v1/nodes", {"metadata": {"name": NODE}})
    install(admin, rendered(CASES["an admission policy"], ""))
    for name, node in (("carp-1", NODE), ("carp-2", "node-b"), ("db-0", NODE), ("db-1", "node-b")):
        admin.create(
            f"{BASE}/pods",
            {
                "metadata": {
                    "name": name,
                    "labels": {
                        "app": name.partition("-")[0],
                        **({"carp-role": "master"} if name == "carp-2" else {}),
                    },
                    "annotations": {"example.org/a": "b"},
                    "finalizers": ["example.org/keep"],
                },
                "spec": {
                    "nodeName": node,
                    "serviceAccountName": ACCOUNT,
                    "containers": [{"name": "c", "image": "none"}],
                },
            },
        )
        conditions = [{"type": "Ready", "status": "True"}]
        status = {"phase": "Running", "podIP": "10.1.1.1", "podIPs": [{"ip": "10.1.1.1"}], "conditions": conditions}
        admin.patch(f"{BASE}/pods/{name}/status", {"status": status})
    uid = admin.get(f"{BASE}/pods/carp-1")["metadata"]["uid"]
    bound = {"kind": "Pod", "apiVersion": "v1", "name": "carp-1", "uid": uid}
    cluster = Cluster(admin, thief(plane, admin, boundObjectRef=bound), "pods")
    wait_until(lambda: is_in_force(cluster), "the policy is in force")
    admin.patch(f"{BASE}/pods/db-0/status", {"metadata": {"labels": {"app": "db"}}})
    return cluster


def is_in_force(cluster: Cluster) -> bool:
    try:
        cluster.patch("db-0", {"metadata": {"labels": {"app": f"at-{time.time_ns()}"}}})
    except Refused as refusal:
        return "ValidatingAdmissionPolicy" in str(refusal)
    return False


ALLOWED: dict[str, tuple[str, dict[str, Any]]] = {
    "our own role": (
        "carp-1",
        {
            "metadata": {
                "labels": {"carp-role": "master", "carp-role-mail": "backup"},
                "annotations": {"carpsidecar.io/since": "now", "carpsidecar.io/reason": "x"},
            },
            "status": {"conditions": [ELECTED]},
        },
    ),
    "a workload pod of our node": (
        "db-0",
        {"metadata": {"labels": {"carp-role": "master"}}, "status": {"conditions": [ELECTED]}},
    ),
    "and taking it off": (
        "db-0",
        {
            "metadata": {"labels": {"carp-role": None}},
            "status": {"conditions": [{"type": ELECTED["type"], "$patch": "delete"}]},
        },
    ),
    "a former master of another node": (
        "carp-2",
        {
            "metadata": {"labels": {"carp-role": "unknown"}, "annotations": {"carpsidecar.io/reason": "x"}},
            "status": {"conditions": [{**ELECTED, "status": "Unknown"}]},
        },
    ),
}
FORBIDDEN: dict[str, tuple[str, dict[str, Any], str]] = {
    "any Service's label": ("db-0", {"metadata": {"labels": {"app": "other"}}}, "only labels carp-role"),
    "taking a label off": ("db-0", {"metadata": {"labels": {"app": None}}}, "only labels carp-role"),
    "an address": (
        "db-0",
        {"status": {"podIP": "203.0.113.66", "podIPs": [{"$patch": "replace"}, {"ip": "203.0.113.66"}]}},
        "of the status only",
    ),
    "an end": ("db-0", {"status": {"phase": "Failed"}}, "of the status only"),
    "a condition": (
        "db-0",
        {"status": {"conditions": [{"type": "Ready", "status": "False"}]}},
        "of the status only",
    ),
    "finalizers": ("db-0", {"metadata": {"finalizers": None}}, "finalizers and owners"),
    "an annotation": ("db-0", {"metadata": {"annotations": {"example.org/a": "c"}}}, "only annotations"),
    "a drain": ("carp-1", {"metadata": {"annotations": {"carpsidecar.io/drain": "true"}}}, "only annotations"),
    "a role on another node": ("db-1", {"metadata": {"labels": {"carp-role": "master"}}}, *OTHER_NODES),
    "another node's claim": ("carp-2", {"metadata": {"labels": {"carp-role": "backup"}}}, *OTHER_NODES),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_what_the_program_writes_is_let_through(cluster: Cluster, case: str) -> None:
    cluster.patch(*ALLOWED[case])


@pytest.mark.parametrize("case", FORBIDDEN)
def test_a_thief_of_the_token_can_not_change(cluster: Cluster, case: str) -> None:
    pod, body, message = FORBIDDEN[case]
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}"
    before = cluster.admin.get(path)
    with pytest.raises(Refused, match=message):
        cluster.patch(pod, body)
    after = cluster.admin.get(path)
    assert json.dumps(after["metadata"].get("labels")) == json.dumps(before["metadata"].get("labels"))
    assert after["status"] == before["status"]
    assert after["metadata"].get("finalizers") == before["metadata"].get("finalizers")


def test_others_are_not_held_to_it(cluster: Cluster) -> None:
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/db-0/status"
    cluster.admin.patch(path, {"metadata": {"labels": {"app": "db"}}, "status": {"message": "by its node"}})


def test_there_is_none_where_the_cluster_has_no_such_policies(rendered: Select) -> None:
    assert rendered(CASES["vip only"], "ValidatingAdmissionPolicy") == []
    assert rendered({**CASES["vip only"], "admissionPolicy": {"enabled": False}}, "ValidatingAdmissionPolicy") == []
    assert len(rendered(CASES["an admission policy"], "ValidatingAdmissionPolicyBinding")) == 1
