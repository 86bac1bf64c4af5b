"""Which event is written next, and what is in it: without a server."""

from typing import cast

import pytest

from carpsidecar.reporter.kubernetes.client import Api
from carpsidecar.reporter.kubernetes.events import EventJob, Events, body
from carpsidecar.reporter.kubernetes.picture import Picture
from carpsidecar.reporter.stats import ApiStats
from tests.unit.reporter.kubernetes.samples import SETTINGS, pod

T = 1_800_000_000.0


@pytest.fixture
def events() -> Events:
    picture = Picture(SETTINGS, lambda: True)
    picture.kind.put(pod())
    return Events(picture, cast(Api, None), ApiStats())


def take(events: Events, now: float = 0.0) -> EventJob | None:
    with events._picture.lock:
        found = events.next(now, lambda _: float("-inf"))
    return found if isinstance(found, EventJob) else None


def say(events: Events, *args: object) -> None:
    with events._picture.lock:
        events.say(*args)  # type: ignore[arg-type]


def write(events: Events, now: float = 0.0) -> EventJob | None:
    job = take(events, now)
    if job is not None:
        job.pending.name = job.pending.name or "name"
        events.written(job)
    return job


def test_the_newest_is_said_first(events: Events) -> None:
    for number in range(3):
        say(events, "CarpBackup", f"number {number}", T + number)
    say(events, "CarpBackup", "number 0", T + 4)
    notes = [job.pending.note.partition(" (")[0] for _ in range(3) if (job := write(events)) is not None]
    assert notes == ["number 0", "number 2", "number 1"]
    assert take(events) is None


def test_what_happened_more_than_once_before_it_was_said_is_a_series_at_once(events: Events) -> None:
    for number in range(5):
        say(events, "CarpMaster", "web: master now", T + number)
    job = write(events)
    assert job is not None
    event = body(job)
    assert event["series"] == {"count": 5, "lastObservedTime": "2027-01-15T08:00:04.000000Z"}
    assert event["eventTime"] == "2027-01-15T08:00:00.000000Z"
    assert event["note"] == "web: master now (node n1, pod carp-1)"


def test_a_repeat_within_ten_minutes_goes_on_with_the_series(events: Events) -> None:
    say(events, "CarpMaster", "web: master now", T)
    write(events)
    say(events, "CarpMaster", "web: master now", T + 599)
    job = write(events)
    assert job is not None
    assert job.series is not None
    say(events, "CarpMaster", "web: master now", T + 599 + 601)
    job = take(events)
    assert job is not None
    assert job.series is None


def test_what_happens_again_while_it_is_written_is_not_lost(events: Events) -> None:
    say(events, "CarpMaster", "web: master now", T)
    job = take(events)
    assert job is not None
    job.pending.name = "name"
    say(events, "CarpMaster", "web: master now", T + 1)
    events.written(job)
    job = take(events)
    assert job is not None
    assert job.series is not None
    assert (job.series.count, job.count) == (1, 1)


def test_an_event_that_is_no_longer_there_is_said_anew(events: Events) -> None:
    say(events, "CarpMaster", "web: master now", T)
    write(events)
    say(events, "CarpMaster", "web: master now", T + 1)
    job = take(events)
    assert job is not None
    events.forget(job)
    job = take(events)
    assert job is not None
    assert job.series is None


def test_strangers_use_up_their_own_share_only(events: Events) -> None:
    for number in range(1000):
        say(events, "CarpBadDigest", f"from {number}", T)
    written = 0
    while write(events, 0.0):
        written += 1
    assert written == 5
    assert len(events._pending) <= 64
    say(events, "CarpMaster", "web: master now", T)
    assert write(events, 0.0) is not None


def test_a_flapping_node_is_limited_too(events: Events) -> None:
    written = 0
    for number in range(600):
        say(events, "CarpMaster" if number % 2 else "CarpBackup", f"reason {number % 7}", T + number)
        written += write(events, float(number)) is not None
    assert written <= 20 + 600 / 15 + 1


def test_nothing_is_said_before_our_pod_is_known(events: Events) -> None:
    events._picture.kind.remove(pod())
    say(events, "CarpMaster", "web: master now", T)
    assert take(events) is None


def test_a_long_word_is_cut(events: Events) -> None:
    say(events, "CarpFault", "x" * 5000, T)
    job = take(events)
    assert job is not None
    assert len(job.pending.note) <= 1024
