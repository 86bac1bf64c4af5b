"""What is read of the API's answers, and that nonsense is refused."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carpsidecar.reporter.kubernetes.objects import (
    BadObject,
    Condition,
    read_event,
    read_node,
    read_page,
    read_pod,
    read_status,
    version_of,
)
from tests.unit.reporter.kubernetes.samples import pod

POD: dict[str, Any] = {
    "kind": "Pod",
    "metadata": {
        "name": "carp-1",
        "namespace": "infra",
        "uid": "u",
        "resourceVersion": "7",
        "labels": {"app": "carp", "carp-role": "master"},
        "annotations": {"large": "x" * 1000, "carpsidecar.io/since": "then"},
        "deletionTimestamp": "2026-11-22T12:00:00Z",
        "managedFields": [{"anything": 1}],
    },
    "spec": {"nodeName": "n1", "containers": [{"name": "a"}]},
    "status": {
        "phase": "Running",
        "conditions": [
            {"type": "Ready", "status": "False"},
            {"type": "ContainersReady", "status": "True", "reason": None},
            {"type": "carpsidecar.io/elected", "status": "True", "reason": "Master", "message": "m"},
        ],
        "containerStatuses": [{"name": "a", "ready": True}, {"name": "b", "ready": False}],
        "hostIP": "192.0.2.1",
        "hostIPs": [{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}],
    },
}


def test_only_what_is_needed_is_kept() -> None:
    found = read_pod(json.dumps(POD).encode())
    assert found.labels == {"carp-role": "master"}
    assert found.annotations == {"carpsidecar.io/since": "then"}
    assert found.conditions == {"carpsidecar.io/elected": Condition("True", "Master", "m")}
    assert found.containers == {"a": True, "b": False}
    assert (found.node, found.phase, found.version) == ("n1", "Running", "7")
    assert (found.leaving, found.ready, found.containers_ready) == (True, False, True)
    assert found.host_ips == ("192.0.2.1", "2001:db8::1")


def test_what_is_not_there_or_null_is_empty() -> None:
    nulls = {"metadata": {"name": "a", "labels": None}, "spec": {}, "status": {"conditions": None, "hostIPs": None}}
    assert read_pod(json.dumps(nulls).encode()).labels == {}
    assert read_pod(b'{"metadata":{},"status":{"hostIP":"192.0.2.1"}}').host_ips == ("192.0.2.1",)
    assert read_node(b'{"metadata":{"name":"n1"}}').unschedulable is False
    assert read_page(b'{"metadata":{"resourceVersion":"5"},"items":null}').items == []


@pytest.mark.parametrize("read", [read_pod, read_node, read_page, read_event, version_of])
@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"[]", b"null", b"\xff", b'{"metadata":1}', b'{"metadata":{"resourceVersion":1}}', b"[" * 10_000],
)
def test_nonsense_is_refused(read: Any, data: bytes) -> None:
    with pytest.raises(BadObject):
        read(data)


@settings(max_examples=200)
@given(
    st.binary(max_size=200) | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(str).map(str.encode)
)
def test_nothing_that_arrives_is_worse_than_refused(data: bytes) -> None:
    for read in (read_pod, read_node, read_page, read_event):
        try:
            read(data)
        except BadObject:
            continue
    code, text = read_status(data)
    assert isinstance(code, int)
    assert len(text) <= 200


@pytest.mark.parametrize(
    ("newer", "older", "expected"), [("10", "9", True), ("9", "10", False), ("9", "9", False), ("b", "a", True)]
)
def test_versions_are_numbers(newer: str, older: str, expected: bool) -> None:
    assert pod(version=newer).newer_than(pod(version=older)) is expected
