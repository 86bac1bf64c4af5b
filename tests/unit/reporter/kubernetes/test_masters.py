"""Which pod is marked, when, and what is a split brain: with a fake server."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from carpsidecar.reporter.kubernetes.cache import Cache, PodStore
from carpsidecar.reporter.kubernetes.client import Timing
from carpsidecar.reporter.kubernetes.masters import Masters
from carpsidecar.reporter.kubernetes.objects import Pod
from carpsidecar.reporter.kubernetes.pod_status import PodStatus, in_rfc3339
from carpsidecar.reporter.kubernetes.status_writer import StatusWriter
from carpsidecar.status.stats import ApiStats
from tests.support.builders import snapshot
from tests.unit.reporter.kubernetes.samples import NO_API, SETTINGS, pod

T = 1_800_000_000.0


class FakeWriter(StatusWriter):
    """Writes into the cache alone."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def write(self, store: PodStore, pod: Pod, desired: PodStatus) -> Pod:
        self.written.append(pod.name)
        after = replace(
            pod,
            version=str(int(pod.version) + 1),
            labels=desired.labels,
            annotations=desired.annotations,
            conditions=desired.conditions,
        )
        store.refresh(after)
        return after


class Fixture:
    """Time is what the tests make it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache = Cache(SETTINGS, lambda: True)
        self.stats = ApiStats()
        self.reported: list[tuple[str, str]] = []
        self.writer = FakeWriter()
        self.masters = Masters(
            self.cache,
            NO_API,
            self.stats,
            self.writer,
            Timing(),
            lambda group, text: self.reported.append((group, text)),
        )
        self.version = 100
        self.now = 0.0
        monkeypatch.setattr("carpsidecar.reporter.kubernetes.masters.time.monotonic", lambda: self.now)

    def see(self, name: str, role: str, since_s: float, now: float) -> None:
        self.version += 10
        labels, annotations = {"carp-role": role}, {"carpsidecar.io/since": in_rfc3339(since_s)}
        seen = pod(
            name=name, uid=name, version=str(self.version), labels=labels, annotations=annotations, node=name
        )
        self.cache.carp_pods.put(seen)
        self.masters.observe(now)

    def become(self, role: str, since_s: float, now: float) -> None:
        self.cache.set_group(snapshot(role=role, since_s=since_s))
        self.masters.observe(now)

    def marked(self, now: float) -> list[str]:
        """The pods that are marked by then, from the last time on."""
        self.now = now
        self.writer.written.clear()
        self.masters.reconcile(("web",))
        return list(self.writer.written)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Fixture:
    return Fixture(monkeypatch)


def we_are_master(web: Fixture, now: float = 10.0) -> None:
    web.become("master", T, now)
    web.see("carp-1", "master", T, now)


def test_an_older_claim_is_marked_after_a_moment_and_once(web: Fixture) -> None:
    we_are_master(web)
    web.see("carp-2", "master", T - 60, 10.0)
    assert web.marked(10.1) == []
    assert web.marked(10.6) == ["carp-2"]
    assert web.marked(11.0) == []
    web.see("carp-2", "master", T - 60, 12.0)
    assert web.marked(20.0) == []
    assert web.stats.split_brain == {"web"}
    assert len(web.reported) == 1


def test_none_is_marked_before_our_own_label_is_master(web: Fixture) -> None:
    web.become("master", T, 10.0)
    web.see("carp-2", "master", T - 60, 10.0)
    web.see("carp-1", "backup", T - 30, 10.0)
    assert web.marked(20.0) == []
    web.see("carp-1", "master", T, 20.0)
    assert web.marked(20.0) == ["carp-2"]


@pytest.mark.parametrize("role", ["backup", "fault", "init", "unknown"])
def test_only_a_claim_is_marked(web: Fixture, role: str) -> None:
    we_are_master(web)
    web.see("carp-2", role, T - 60, 10.0)
    assert web.marked(20.0) == []


def test_a_newer_claim_is_left_alone_unless_it_was_there_before(web: Fixture) -> None:
    we_are_master(web)
    web.see("carp-2", "master", T + 60, 10.0)
    assert web.marked(20.0) == []
    web.become("backup", T + 70, 21.0)
    web.become("master", T + 30, 22.0)
    web.see("carp-1", "master", T + 30, 22.0)
    assert web.marked(30.0) == ["carp-2"]


def test_of_two_claims_of_one_moment_one_is_the_older(web: Fixture) -> None:
    we_are_master(web)
    web.see("carp-0", "master", T, 10.0)
    web.see("carp-2", "master", T, 10.0)
    assert web.marked(20.0) == ["carp-0"]
    assert web.marked(20.0) == []


def end_by_backup(web: Fixture) -> None:
    web.become("backup", T + 10, 30.0)


def end_by_its_own_label(web: Fixture) -> None:
    web.see("carp-2", "backup", T + 10, 30.0)


def end_by_deletion(web: Fixture) -> None:
    (other,) = web.cache.others
    web.cache.carp_pods.remove(other)
    web.masters.observe(30.0)


@pytest.mark.parametrize("end", [end_by_backup, end_by_its_own_label, end_by_deletion])
def test_a_split_brain_ends_when_either_gives_way(web: Fixture, end: Callable[[Fixture], None]) -> None:
    we_are_master(web)
    web.see("carp-2", "master", T - 60, 10.0)
    assert web.marked(10.6) == ["carp-2"]
    web.see("carp-2", "master", T - 60, 12.0)
    assert web.stats.split_brain == {"web"}
    end(web)
    assert web.stats.split_brain == set()


def test_one_that_is_marked_claims_again_after_a_moment_and_knows_that_there_are_two(web: Fixture) -> None:
    we_are_master(web)
    web.see("carp-2", "master", T + 60, 11.0)
    web.see("carp-1", "unknown", T, 12.0)
    assert web.masters.claim_is_stale
    assert web.masters.renew_claim(12.1) == pytest.approx(0.9)
    assert web.stats.split_brain == set()
    web.masters.renew_claim(13.0)
    assert web.stats.split_brain == {"web"}
    web.see("carp-1", "master", T, 13.1)
    assert not web.masters.claim_is_stale
    assert web.stats.split_brain == {"web"}
    web.see("carp-2", "backup", T + 70, 14.0)
    assert web.stats.split_brain == set()


def test_one_whose_label_somebody_sets_to_unknown_where_there_is_no_other_has_no_split_brain(web: Fixture) -> None:
    we_are_master(web)
    web.see("carp-1", "unknown", T, 12.0)
    web.masters.renew_claim(13.0)
    assert web.stats.split_brain == set()
