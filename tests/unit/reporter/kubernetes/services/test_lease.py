"""Who allocates: never two at once, and who follows one that is gone does not wait longer than that takes."""

import json
from typing import Any, cast

import pytest

from carpsidecar.reporter.kubernetes.client import Api, ApiError, Request
from carpsidecar.reporter.kubernetes.services.lease import DURATION_S, Election


class FakeApi:
    """One Lease, by version."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.requests: list[str] = []

    def call(self, request: Request, _within_s: float) -> bytes:
        self.requests.append(request.method)
        if request.method == "GET":
            if self.lease is None:
                raise ApiError("other", "there is none", 404)
            return json.dumps(self.lease).encode()
        body = cast(dict[str, Any], request.body)
        before = self.lease["metadata"]["resourceVersion"] if self.lease else None
        if body["metadata"].get("resourceVersion") != before:
            raise ApiError("other", "it is another version", 409)
        self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": str(int(before or 0) + 1)}}
        return json.dumps(self.lease).encode()


class Nodes:
    def __init__(self) -> None:
        self.api = FakeApi()
        self.now = 100.0
        self.first, self.second = (
            Election(cast(Api, self.api), "carp", "services", name, lambda: self.now) for name in ("a", "b")
        )


@pytest.fixture
def nodes() -> Nodes:
    return Nodes()


def test_one_has_it_and_the_other_waits_until_it_was_unchanged_for_as_long(nodes: Nodes) -> None:
    assert nodes.first.acquire() == 0
    nodes.now += 1
    assert nodes.second.acquire() == DURATION_S
    nodes.now += DURATION_S - 0.1
    assert nodes.first.has_left_s() < 0 < nodes.second.acquire()
    nodes.now += 0.2
    assert nodes.second.acquire() == 0
    assert nodes.second.must_list
    assert nodes.first.acquire() == DURATION_S


def test_who_has_seen_it_before_does_not_wait_again(nodes: Nodes) -> None:
    nodes.first.acquire()
    nodes.second.observe()
    nodes.now += DURATION_S
    assert nodes.second.acquire() == 0
    assert nodes.api.requests == ["GET", "POST", "GET", "PUT"]


def test_who_has_seen_a_former_version_waits_for_the_new_one(nodes: Nodes) -> None:
    nodes.first.acquire()
    nodes.second.observe()
    nodes.now += DURATION_S
    nodes.first.acquire()
    nodes.now += 0.1
    assert nodes.second.acquire() == DURATION_S


def test_a_holder_asks_only_when_little_is_left(nodes: Nodes) -> None:
    nodes.first.acquire()
    nodes.first.acquire()
    assert nodes.api.requests == ["GET", "POST"]
    nodes.now += 2
    nodes.first.acquire()
    assert nodes.api.requests == ["GET", "POST", "PUT"]
    assert nodes.first.has_left_s() == DURATION_S


def test_what_is_given_back_another_takes_at_once(nodes: Nodes) -> None:
    nodes.first.acquire()
    nodes.first.release()
    assert nodes.first.has_left_s() < 0
    assert nodes.second.acquire() == 0
