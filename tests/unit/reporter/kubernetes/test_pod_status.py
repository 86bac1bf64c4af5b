"""The desired status of a pod, and the patch that leads there."""

import pytest
from msgspec.structs import replace

from carpsidecar.reporter.kubernetes.objects import Condition, Pod
from carpsidecar.reporter.kubernetes.pod_status import (
    NO_STATUS,
    PodStatus,
    desired_of_own_pod,
    desired_of_workload_pod,
    patch,
    unknown,
    view,
)
from tests.support.builders import snapshot
from tests.unit.reporter.kubernetes.samples import pod

SINCE = "2027-01-15T08:00:00.250000Z"


def carrying(status: PodStatus, **values: object) -> Pod:
    return pod(labels=status.labels, annotations=status.annotations, conditions=status.conditions, **values)


def test_a_first_write_has_all_and_only_for_this_version_of_the_pod() -> None:
    assert patch(
        pod(), desired_of_own_pod([snapshot(role="master", reason="no advertisement from the master")])
    ) == {
        "metadata": {
            "resourceVersion": "100",
            "labels": {"carp-role": "master"},
            "annotations": {
                "carpsidecar.io/since": SINCE,
                "carpsidecar.io/reason": "no advertisement from the master",
                "carpsidecar.io/addresses": "192.0.2.100",
            },
        },
        "status": {
            "conditions": [
                {
                    "type": "carpsidecar.io/elected",
                    "status": "True",
                    "reason": "Master",
                    "message": "no advertisement from the master",
                    "lastTransitionTime": SINCE,
                }
            ]
        },
    }


def test_there_is_nothing_to_write_where_all_is_as_it_should_be() -> None:
    status = desired_of_own_pod([snapshot(), snapshot(group="mail", role="master")])
    assert patch(carrying(status), status) is None
    assert patch(pod(), NO_STATUS) is None


def test_only_what_changed_is_written() -> None:
    before = desired_of_own_pod([snapshot(role="backup", reason="started")])
    body = patch(carrying(before), desired_of_own_pod([snapshot(role="backup", reason="demoted")]))
    assert body == {
        "metadata": {"resourceVersion": "100", "annotations": {"carpsidecar.io/reason": "demoted"}},
        "status": {
            "conditions": [
                {"type": "carpsidecar.io/elected", "status": "False", "reason": "Backup", "message": "demoted"}
            ]
        },
    }


def test_names_of_others_stay_and_ours_go() -> None:
    status = desired_of_own_pod([snapshot(), snapshot(group="mail")])
    before = carrying(status)
    before = replace(
        before,
        labels={**before.labels, "carp-roles": "x"},
        annotations={**before.annotations, "carpsidecar.io/drain": "true", "carpsidecar.io/sincere": "x"},
    )
    body = patch(before, desired_of_own_pod([snapshot()]))
    assert body == {
        "metadata": {
            "resourceVersion": "100",
            "labels": {"carp-role-mail": None},
            "annotations": {f"carpsidecar.io/{word}-mail": None for word in ("since", "reason", "addresses")},
        },
        "status": {"conditions": [{"type": "carpsidecar.io/elected-mail", "$patch": "delete"}]},
    }


def test_a_workload_pod_gets_no_annotations_and_loses_all_in_the_end() -> None:
    status = desired_of_workload_pod([snapshot(role="master")])
    assert status.annotations == {}
    assert patch(carrying(status), NO_STATUS) == {
        "metadata": {"resourceVersion": "100", "labels": {"carp-role": None}},
        "status": {"conditions": [{"type": "carpsidecar.io/elected", "$patch": "delete"}]},
    }


def test_one_group_is_marked_unknown_and_the_other_stays() -> None:
    before = carrying(desired_of_own_pod([snapshot(role="master"), snapshot(group="mail", role="master")]))
    body = patch(before, unknown(before, "", "carp-2 became master", 1_800_000_001.0))
    assert body is not None
    assert body["metadata"]["labels"] == {"carp-role": "unknown"}
    assert body["metadata"]["annotations"] == {"carpsidecar.io/reason": "carp-2 became master"}
    (condition,) = body["status"]["conditions"]
    assert condition["type"] == "carpsidecar.io/elected"
    assert condition["status"] == "Unknown"


def test_a_condition_whose_status_stays_keeps_its_time() -> None:
    elected = {"carpsidecar.io/elected": Condition("False", "Init", "started")}
    body = patch(pod(conditions=elected), PodStatus(conditions=desired_of_own_pod([snapshot()]).conditions))
    assert body is not None
    assert "lastTransitionTime" not in body["status"]["conditions"][0]


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
