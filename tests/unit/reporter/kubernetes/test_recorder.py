"""Which event is written next, and what is in it: without a server."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from carpsidecar.reporter.kubernetes.cache import Cache
from carpsidecar.reporter.kubernetes.client import Api, ApiError, Request
from carpsidecar.reporter.kubernetes.recorder import EventReason, EventRecorder
from carpsidecar.status.stats import ApiStats
from tests.unit.reporter.kubernetes.samples import SETTINGS, pod

T = 1_800_000_000.0


class FakeApi(Api):
    """Takes every event; answers the next request with `error`, where there is one; calls `meanwhile` before."""

    def __init__(self) -> None:
        self.bodies: list[Mapping[str, Any]] = []
        self.error: ApiError | None = None
        self.meanwhile: Callable[[], None] = lambda: None

    def call(self, request: Request, within_s: float | None = None) -> bytes:
        error, self.error = self.error, None
        self.meanwhile()
        if error is not None:
            raise error
        assert request.body is not None
        self.bodies.append(request.body)
        return b""


class Fixture:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache = Cache(SETTINGS, lambda: True)
        self.cache.carp_pods.put(pod())
        self.api = FakeApi()
        self.recorder = EventRecorder(self.cache, self.api, ApiStats(), lambda: None)
        self.now = 0.0
        monkeypatch.setattr("carpsidecar.reporter.kubernetes.recorder.time.monotonic", lambda: self.now)

    def event(self, reason: EventReason, note: str, at_s: float = T) -> None:
        self.recorder.event(reason, note, at_s)

    def written(self, now: float = 0.0) -> list[Mapping[str, Any]]:
        """What is written by then, from the last time on."""
        self.now = now
        before = len(self.api.bodies)
        while self.recorder.reconcile(()) == 0.0:
            pass
        return self.api.bodies[before:]


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Fixture:
    return Fixture(monkeypatch)


def test_the_newest_is_written_first(events: Fixture) -> None:
    for number in range(3):
        events.event("CarpBackup", f"number {number}", T + number)
    events.event("CarpBackup", "number 0", T + 4)
    notes = [event["note"].partition(" (")[0] for event in events.written()]
    assert notes == ["number 0", "number 2", "number 1"]
    assert events.written() == []


def test_what_happened_more_than_once_before_it_was_written_is_a_series_at_once(events: Fixture) -> None:
    for number in range(5):
        events.event("CarpMaster", "web: master now", T + number)
    [event] = events.written()
    assert event["series"] == {"count": 5, "lastObservedTime": "2027-01-15T08:00:04.000000Z"}
    assert event["eventTime"] == "2027-01-15T08:00:00.000000Z"
    assert event["note"] == "web: master now (node n1, pod carp-1)"


def test_a_repeat_within_ten_minutes_goes_on_with_the_series(events: Fixture) -> None:
    events.event("CarpMaster", "web: master now", T)
    [first] = events.written()
    assert "series" not in first
    events.event("CarpMaster", "web: master now", T + 599)
    assert events.written() == [{"series": {"count": 2, "lastObservedTime": "2027-01-15T08:09:59.000000Z"}}]
    events.event("CarpMaster", "web: master now", T + 599 + 601)
    [anew] = events.written()
    assert anew["reason"] == "CarpMaster"


def test_what_happens_again_while_it_is_written_is_not_lost(events: Fixture) -> None:
    def again() -> None:
        events.api.meanwhile = lambda: None
        events.event("CarpMaster", "web: master now", T + 1)

    events.event("CarpMaster", "web: master now", T)
    events.api.meanwhile = again
    [first, second] = events.written()
    assert "series" not in first
    assert second["series"]["count"] == 2


def test_an_event_that_is_no_longer_there_is_created_anew(events: Fixture) -> None:
    events.event("CarpMaster", "web: master now", T)
    [first] = events.written()
    events.event("CarpMaster", "web: master now", T + 1)
    events.api.error = ApiError("other", "gone", 404)
    [second] = events.written()
    assert second["metadata"]["name"] != first["metadata"]["name"]


def test_an_event_whose_answer_was_lost_is_not_created_twice(events: Fixture) -> None:
    events.event("CarpMaster", "web: master now", T)
    events.api.error = ApiError("timeout", "no answer")
    with pytest.raises(ApiError):
        events.written()
    events.api.error = ApiError("conflict", "it is there", 409)
    assert events.written() == []


def test_strangers_use_up_their_own_share_only(events: Fixture) -> None:
    for number in range(1000):
        events.event("CarpBadDigest", f"from {number}", T)
    assert len(events.written()) == 5
    assert len(events.recorder._pending) <= 64
    events.event("CarpMaster", "web: master now", T)
    assert len(events.written()) == 1


def test_a_flapping_node_is_limited_too(events: Fixture) -> None:
    written = 0
    for number in range(600):
        events.event("CarpMaster" if number % 2 else "CarpBackup", f"reason {number % 7}", T + number)
        written += len(events.written(float(number)))
    assert written <= 20 + 600 / 15 + 1


def test_nothing_is_written_before_our_pod_is_known(events: Fixture) -> None:
    events.cache.carp_pods.remove(pod())
    events.event("CarpMaster", "web: master now", T)
    assert events.written() == []


def test_a_long_note_is_cut(events: Fixture) -> None:
    events.event("CarpFault", "x" * 5000, T)
    [event] = events.written()
    assert len(event["note"]) <= 1024
