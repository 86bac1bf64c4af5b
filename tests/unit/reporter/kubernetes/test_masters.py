"""Who is marked, when, and what is a split brain: without a server."""

from collections.abc import Callable
from typing import cast

import pytest

from carpsidecar.reporter.kubernetes.client import Api, Timing
from carpsidecar.reporter.kubernetes.desired import in_rfc3339
from carpsidecar.reporter.kubernetes.marking import MarkPod
from carpsidecar.reporter.kubernetes.masters import Masters
from carpsidecar.reporter.kubernetes.objects import Pod
from carpsidecar.reporter.kubernetes.picture import Picture
from carpsidecar.reporter.stats import ApiStats
from tests.support.builders import snapshot
from tests.unit.reporter.kubernetes.samples import SETTINGS, pod

T = 1_800_000_000.0


class Bench:
    def __init__(self) -> None:
        self.picture = Picture(SETTINGS, lambda: True)
        self.stats = ApiStats()
        self.said: list[tuple[str, str]] = []
        self.masters = Masters(
            self.picture, cast(Api, None), self.stats, Timing(), lambda group, text: self.said.append((group, text))
        )
        self.version = 100

    def see(self, name: str, role: str, since_s: float, now: float) -> None:
        self.version += 1
        labels, annotations = {"carp-role": role}, {"carpsidecar.io/since": in_rfc3339(since_s)}
        seen = pod(
            name=name, uid=name, version=str(self.version), labels=labels, annotations=annotations, node=name
        )
        self.picture.kind.put(seen)
        self.masters.observe(now)

    def become(self, role: str, since_s: float, now: float) -> None:
        self.picture.set_group(snapshot(role=role, since_s=since_s))
        self.masters.observe(now)

    def to_mark(self, now: float) -> str:
        job = self.masters.next(now, lambda _: float("-inf"))
        return job.pod.name if isinstance(job, MarkPod) else ""

    def mark(self, now: float) -> None:
        job = self.masters.next(now, lambda _: float("-inf"))
        assert isinstance(job, MarkPod)
        job.done(job.pod, self._newer(job.pod), True)

    def _newer(self, before: Pod) -> Pod:
        self.version += 1
        annotations = dict(before.annotations)
        labels = {"carp-role": "unknown"}
        return pod(
            name=before.name, uid=before.uid, version=str(self.version), labels=labels, annotations=annotations
        )


@pytest.fixture
def bench() -> Bench:
    return Bench()


def we_are_master(bench: Bench, now: float = 10.0) -> None:
    bench.become("master", T, now)
    bench.see("carp-1", "master", T, now)


def test_an_older_claim_is_marked_after_a_moment_and_once(bench: Bench) -> None:
    we_are_master(bench)
    bench.see("carp-2", "master", T - 60, 10.0)
    assert bench.to_mark(10.1) == ""
    assert bench.to_mark(10.6) == "carp-2"
    bench.mark(10.6)
    assert bench.to_mark(11.0) == ""
    bench.see("carp-2", "master", T - 60, 12.0)
    assert bench.to_mark(20.0) == ""
    assert bench.stats.split_brain == {"web"}
    assert len(bench.said) == 1


def test_nobody_is_marked_before_our_own_label_says_master(bench: Bench) -> None:
    bench.become("master", T, 10.0)
    bench.see("carp-2", "master", T - 60, 10.0)
    bench.see("carp-1", "backup", T - 30, 10.0)
    assert bench.to_mark(20.0) == ""
    bench.see("carp-1", "master", T, 20.0)
    assert bench.to_mark(20.0) == "carp-2"


@pytest.mark.parametrize("role", ["backup", "fault", "init", "unknown"])
def test_only_a_claim_is_marked(bench: Bench, role: str) -> None:
    we_are_master(bench)
    bench.see("carp-2", role, T - 60, 10.0)
    assert bench.to_mark(20.0) == ""


def test_a_newer_claim_is_left_alone_unless_it_was_there_before(bench: Bench) -> None:
    we_are_master(bench)
    bench.see("carp-2", "master", T + 60, 10.0)
    assert bench.to_mark(20.0) == ""
    bench.become("backup", T + 70, 21.0)
    bench.become("master", T + 30, 22.0)
    bench.see("carp-1", "master", T + 30, 22.0)
    assert bench.to_mark(30.0) == "carp-2"


def test_of_two_claims_of_one_moment_one_is_the_older(bench: Bench) -> None:
    we_are_master(bench)
    bench.see("carp-0", "master", T, 10.0)
    bench.see("carp-2", "master", T, 10.0)
    assert bench.to_mark(20.0) == "carp-0"
    bench.mark(20.0)
    assert bench.to_mark(20.0) == ""


def end_by_backup(bench: Bench) -> None:
    bench.become("backup", T + 10, 30.0)


def end_by_word(bench: Bench) -> None:
    bench.see("carp-2", "backup", T + 10, 30.0)


def end_by_deletion(bench: Bench) -> None:
    (other,) = bench.picture.others
    bench.picture.kind.remove(other)
    bench.masters.observe(30.0)


@pytest.mark.parametrize("end", [end_by_backup, end_by_word, end_by_deletion])
def test_a_split_brain_ends_when_either_gives_way(bench: Bench, end: Callable[[Bench], None]) -> None:
    we_are_master(bench)
    bench.see("carp-2", "master", T - 60, 10.0)
    bench.mark(10.6)
    bench.see("carp-2", "master", T - 60, 12.0)
    assert bench.stats.split_brain == {"web"}
    end(bench)
    assert bench.stats.split_brain == set()


def test_one_that_is_marked_claims_again_after_a_moment_and_knows_that_there_are_two(bench: Bench) -> None:
    we_are_master(bench)
    bench.see("carp-2", "master", T + 60, 11.0)
    bench.see("carp-1", "unknown", T, 12.0)
    assert bench.masters.doubted
    assert bench.masters.contest(12.1) == pytest.approx(13.0)
    assert bench.stats.split_brain == set()
    bench.masters.contest(13.0)
    assert bench.stats.split_brain == {"web"}
    bench.see("carp-1", "master", T, 13.1)
    assert not bench.masters.doubted
    assert bench.stats.split_brain == {"web"}
    bench.see("carp-2", "backup", T + 70, 14.0)
    assert bench.stats.split_brain == set()


def test_one_whose_label_somebody_sets_to_unknown_where_there_is_no_other_has_no_split_brain(bench: Bench) -> None:
    we_are_master(bench)
    bench.see("carp-1", "unknown", T, 12.0)
    bench.masters.contest(13.0)
    assert bench.stats.split_brain == set()
