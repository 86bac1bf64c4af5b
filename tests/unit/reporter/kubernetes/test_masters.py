"""Which claims are marked, when, and what is a split brain: with a fake server."""

import time
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from carpsidecar.protocol.effects import Reason
from carpsidecar.reporter.kubernetes.cache import Cache, PodStore
from carpsidecar.reporter.kubernetes.client import ApiError, Timing
from carpsidecar.reporter.kubernetes.masters import SILENT, Masters
from carpsidecar.reporter.kubernetes.objects import Pod
from carpsidecar.reporter.kubernetes.pod_status import PodStatus, in_rfc3339
from carpsidecar.reporter.kubernetes.status_writer import StatusWriter
from carpsidecar.status.stats import ApiStats
from tests.support.builders import snapshot
from tests.unit.reporter.kubernetes.samples import SETTINGS, pod

T = 1_800_000_000.0
BOWED_OUT = "the master bowed out"


class FakeWriter(StatusWriter):
    """Writes into the cache alone."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.error: ApiError | None = None
        self.fixture: Fixture

    def write(self, store: PodStore, pod: Pod, desired: PodStatus) -> Pod:
        if self.error is not None:
            raise self.error
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

    def read(self, store: PodStore, pod: Pod) -> None:
        self.written.append(f"{pod.name} read")
        self.fixture.show(pod.name)


class Fixture:
    """Our pod is carp-1. Time is what the tests make it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, yield_s: float = 0.0) -> None:
        self.yield_s = yield_s
        self.engine_alive = True
        self.cache = Cache(SETTINGS, lambda: self.engine_alive)
        self.stats = ApiStats()
        self.listed: list[Pod] = []
        """What the server answers when it is asked for claims."""
        self.reported: list[tuple[str, str]] = []
        self.server: dict[str, tuple[str, float]] = {}
        """What it says when it is asked, and no watch has shown yet: role, and since when."""
        self.writer = FakeWriter()
        self.writer.fixture = self
        self.masters = Masters(
            self.cache,
            self.stats,
            self.writer,
            Timing(yield_s=self.yield_s),
            self._list,
            lambda group, text: self.reported.append((group, text)),
        )
        self.version = 100
        self.now = 0.0
        monkeypatch.setattr("carpsidecar.reporter.kubernetes.masters.time.monotonic", lambda: self.now)

    def see(self, name: str, role: str, since_s: float, now: float, *, contested: bool = False) -> None:
        self.version += 10
        annotations = {"carpsidecar.io/since": in_rfc3339(since_s)}
        if contested:
            annotations["carpsidecar.io/contested"] = "carp-1 on n1 claims it too"
        seen = pod(
            name=name,
            uid=name,
            version=str(self.version),
            labels={"carp-role": role},
            annotations=annotations,
            node=name,
            ready=True,
        )
        self.cache.carp_pods.put(seen)
        self.masters.observe(now)

    def show(self, name: str) -> None:
        """What the server says of it."""
        role, since_s = self.server[name]
        self.see(name, role, since_s, self.now)

    def _list(self, label: str) -> list[Pod]:
        for name, (role, _) in self.server.items():
            if role == "master":
                self.show(name)
        return self.listed

    def become(self, role: str, since_s: float, now: float, reason: str = SILENT[0]) -> None:
        self.cache.set_group(snapshot(role=role, since_s=since_s, reason=reason))
        self.masters.observe(now)

    def cleared(self, now: float) -> tuple[list[str], float | None, bool]:
        """The pods that are marked by then; when to come again, rounded; and whether our claim waits for it."""
        self.now = now
        self.writer.written.clear()
        wait_s, waits = self.masters.clear_claims()
        return list(self.writer.written), None if wait_s is None else round(wait_s, 3), waits


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Fixture:
    fixture = Fixture(monkeypatch)
    fixture.become("backup", T - 100, 1.0)
    fixture.see("carp-1", "backup", T - 100, 1.0)
    return fixture


def test_the_reasons_for_a_silent_takeover_are_the_engines() -> None:
    assert (Reason.MASTER_SILENT, Reason.MASTER_GONE) == SILENT


def test_a_silent_masters_claim_is_marked_at_once_and_before_ours_is_written(web: Fixture) -> None:
    web.see("carp-2", "master", T - 60, 5.0)
    web.become("master", T, 10.0)
    assert web.cleared(10.0) == (["carp-2"], None, False)
    assert web.cleared(10.1) == ([], None, False)


def test_the_server_is_asked_before_we_claim_since_a_watch_may_be_late(web: Fixture) -> None:
    late = pod(
        name="carp-2",
        uid="carp-2",
        version="500",
        labels={"carp-role": "master"},
        annotations={"carpsidecar.io/since": in_rfc3339(T - 1)},
    )
    web.listed = [late]
    web.become("master", T, 10.0)
    assert web.cleared(10.0) == (["carp-2"], None, False)


def test_of_two_that_took_over_at_once_one_yields_before_either_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    web = Fixture(monkeypatch, Timing().yield_s)
    web.see("carp-1", "backup", T - 100, 1.0)
    web.become("master", T, 10.0, BOWED_OUT)
    assert web.cleared(10.0) == ([], 0.06, True)
    assert web.cleared(10.06) == ([], None, False)


def test_one_that_bowed_out_may_take_its_label_off_itself(web: Fixture) -> None:
    web.see("carp-2", "master", T - 60, 5.0)
    web.become("master", T, 10.0, BOWED_OUT)
    assert web.cleared(10.0) == ([], 0.1, True)
    web.see("carp-2", "backup", T, 10.05)
    assert web.cleared(10.05) == ([], None, False)


def test_one_that_bowed_out_and_does_not_is_marked_after_a_moment(web: Fixture) -> None:
    web.see("carp-2", "master", T - 60, 5.0)
    web.become("master", T, 10.0, BOWED_OUT)
    assert web.cleared(10.1) == (["carp-2"], None, False)


@pytest.mark.parametrize("role", ["backup", "fault", "init", "unknown"])
def test_only_a_claim_is_marked(web: Fixture, role: str) -> None:
    web.see("carp-2", role, T - 60, 5.0)
    web.become("master", T, 10.0)
    assert web.cleared(20.0) == ([], None, False)


def test_a_claim_that_was_there_before_is_older_whatever_its_clock_says(web: Fixture) -> None:
    web.see("carp-2", "master", T + 3600, 5.0)
    web.become("master", T, 10.0)
    assert web.cleared(10.0) == (["carp-2"], None, False)


def test_a_newer_claim_gets_a_second_to_turn_out_to_be_none(web: Fixture) -> None:
    web.become("master", T, 10.0)
    web.see("carp-2", "master", T + 1, 10.5)
    assert web.cleared(10.5) == ([], 1.0, True)
    web.see("carp-2", "backup", T + 2, 10.6)
    assert web.cleared(10.6) == ([], None, False)


def test_one_that_keeps_its_newer_claim_is_marked(web: Fixture) -> None:
    web.become("master", T, 10.0)
    web.see("carp-2", "master", T + 1, 10.5)
    assert web.cleared(11.6) == (["carp-2"], None, False)


def test_once_ours_is_written_no_claim_waits(web: Fixture) -> None:
    web.become("master", T, 10.0)
    web.see("carp-1", "master", T, 10.1)
    web.see("carp-2", "master", T + 1, 10.5)
    assert web.cleared(10.5) == ([], 1.0, False)


def test_of_two_claims_of_one_moment_one_is_the_older(web: Fixture) -> None:
    web.become("master", T, 10.0, BOWED_OUT)
    web.see("carp-0", "master", T, 10.0)
    web.see("carp-2", "master", T, 10.0)
    assert web.cleared(10.2) == (["carp-0"], 0.8, True)


def test_one_that_can_not_be_marked_does_not_keep_us_from_claiming_for_ever(web: Fixture) -> None:
    web.see("carp-2", "master", T - 60, 5.0)
    web.become("master", T, 10.0)
    web.writer.error = ApiError("other", "a webhook says no", 422)
    with pytest.raises(ApiError):
        web.cleared(10.5)
    assert web.cleared(11.5) == ([], None, False)


def test_while_the_server_is_away_nothing_is_claimed(web: Fixture) -> None:
    web.see("carp-2", "master", T - 60, 5.0)
    web.become("master", T, 10.0)
    web.writer.error = ApiError("unreachable", "no")
    with pytest.raises(ApiError):
        web.cleared(100.0)


def we_are_marked(web: Fixture) -> None:
    """Another took over, and we are master all the same."""
    web.become("master", T, 10.0)
    web.see("carp-1", "master", T, 10.0)
    web.see("carp-2", "master", T + 60, 11.0)
    web.see("carp-1", "unknown", T, 12.0)


def test_one_that_is_marked_waits_until_it_knows_better(web: Fixture) -> None:
    we_are_marked(web)
    assert web.masters.settle_in_s(12.1) == pytest.approx(0.9)
    assert web.masters.contested(12.1) == {}
    assert web.stats.split_brain == set()


def test_one_that_is_marked_and_silent_itself_writes_nothing(web: Fixture) -> None:
    we_are_marked(web)
    web.engine_alive = False
    assert web.masters.settle_in_s(100.0) == float("inf")


def test_one_that_is_marked_and_is_master_all_the_same_does_not_claim_beside_the_other(web: Fixture) -> None:
    we_are_marked(web)
    assert web.masters.contested(13.1) == {"web": "carp-2 on carp-2 claims it too"}
    assert web.cleared(13.1) == ([], None, False)
    web.masters.observe(13.1)
    assert web.stats.split_brain == {"web"}
    assert len(web.reported) == 1


def end_by_backup(web: Fixture) -> None:
    web.become("backup", T + 70, 14.0)


def end_by_its_own_label(web: Fixture) -> None:
    web.see("carp-2", "backup", T + 70, 14.0)


def end_by_deletion(web: Fixture) -> None:
    (other,) = web.cache.others
    web.cache.carp_pods.remove(other)
    web.masters.observe(14.0)


@pytest.mark.parametrize("end", [end_by_backup, end_by_its_own_label, end_by_deletion])
def test_a_split_brain_ends_when_either_gives_way(web: Fixture, end: Callable[[Fixture], None]) -> None:
    we_are_marked(web)
    web.masters.observe(13.1)
    end(web)
    assert web.stats.split_brain == set()
    assert web.masters.contested(14.1) == {}


def test_the_other_learns_of_it_by_the_annotation(web: Fixture) -> None:
    web.become("master", T, 10.0)
    web.see("carp-1", "master", T, 10.0)
    web.see("carp-2", "unknown", T - 60, 11.0)
    assert web.stats.split_brain == set()
    web.see("carp-2", "unknown", T - 60, 12.0, contested=True)
    assert web.stats.split_brain == {"web"}
    web.see("carp-2", "backup", T + 60, 13.0)
    assert web.stats.split_brain == set()


def test_one_that_is_marked_takes_the_label_off_one_that_is_dead_by_then(web: Fixture) -> None:
    we_are_marked(web)
    (other,) = web.cache.others
    web.cache.carp_pods.put(replace(other, version="1000", ready=False, containers_ready=True))
    web.masters.observe(60.0)
    assert web.masters.contested(60.0) == {}
    assert web.cleared(60.0) == (["carp-2"], None, False)


def test_one_whose_label_somebody_sets_to_unknown_where_there_is_no_other_has_no_split_brain(web: Fixture) -> None:
    web.become("master", T, 10.0)
    web.see("carp-1", "unknown", T, 12.0)
    web.masters.observe(13.0)
    assert web.masters.contested(13.0) == {}
    assert web.stats.split_brain == set()


def test_one_that_was_cut_off_claims_again_as_soon_as_the_one_that_yields_to_it_does_no_more(web: Fixture) -> None:
    web.become("master", T, 2.0)
    web.see("carp-1", "master", T, 2.1)
    # Cut off, it was marked; now it is back, and has heard the other one.
    returned = snapshot(role="master", since_s=T, reason=SILENT[0], outranked_s=time.time())
    web.cache.set_group(returned)
    assert web.masters.outranks(returned, 9.0)
    assert not web.masters.outranks(returned, 9.1), "the same once more"
    # One that lives is not marked: it yields. Until it has, it is asked: the watch may not be back yet.
    web.see("carp-2", "backup", T - 60, 2.1)
    web.server = {"carp-1": ("unknown", T), "carp-2": ("master", T + 3)}
    again_s = Timing().handover_s / 2
    assert web.cleared(9.0) == (["carp-1 read"], again_s, True)
    assert not web.masters.returns
    assert web.masters.settle_in_s(9.0) == pytest.approx(Timing().settle_s)
    assert web.cleared(9.05) == (["carp-2 read"], again_s, True)
    web.server["carp-2"] = "backup", T + 9
    assert web.cleared(9.1) == (["carp-2 read"], None, False)
    assert web.masters.returns
    assert web.masters.settle_in_s(9.1) <= 0.0


def test_one_that_hears_the_other_of_two_that_took_over_at_once_waits_for_the_former_masters_label(
    web: Fixture,
) -> None:
    web.see("carp-2", "master", T - 60, 2.0)
    web.become("master", T, 2.0, BOWED_OUT)
    both = snapshot(role="master", since_s=T, reason=BOWED_OUT, outranked_s=time.time())
    web.cache.set_group(both)
    web.masters.outranks(both, 2.01)
    web.server = {"carp-1": ("backup", T - 100), "carp-2": ("master", T - 60)}
    marked, wait_s, waits = web.cleared(2.02)
    assert (marked, waits) == (["carp-2 read", "carp-1 read"], True)
    assert wait_s == pytest.approx(Timing().handover_s - 0.02, abs=0.001)


def test_one_that_does_not_yield_is_not_asked_for_ever(web: Fixture) -> None:
    web.become("master", T, 2.0)
    web.see("carp-1", "master", T, 2.1)
    returned = snapshot(role="master", since_s=T, reason=SILENT[0], outranked_s=time.time())
    web.cache.set_group(returned)
    web.masters.outranks(returned, 9.0)
    web.see("carp-2", "backup", T - 60, 2.1)
    web.server = {"carp-1": ("unknown", T), "carp-2": ("master", T + 3)}
    web.cleared(9.0)
    assert web.cleared(9.0 + Timing().settle_s) == (["carp-2 read"], None, False)
    assert web.cleared(10.1) == ([], None, False)


def test_one_that_yields_to_it_before_it_is_heard_is_known_by_its_own_label(web: Fixture) -> None:
    web.become("master", T, 2.0)
    web.see("carp-1", "master", T, 2.1)
    web.see("carp-1", "unknown", T, 9.0)
    web.see("carp-2", "master", T + 3, 9.01)
    web.see("carp-2", "backup", T + 9, 9.02)
    web.now = 9.02
    assert web.masters.settle_in_s(web.now) <= 0.0, "the fixture's yield_s"
    assert web.masters.returns


def test_one_that_is_marked_in_its_turn_has_not_yielded(web: Fixture) -> None:
    web.become("master", T, 2.0)
    web.see("carp-1", "master", T, 2.1)
    web.see("carp-1", "unknown", T, 9.0)
    web.see("carp-2", "master", T + 3, 9.01)
    web.see("carp-2", "unknown", T + 3, 9.02)
    assert web.masters.settle_in_s(9.02) == pytest.approx(Timing().settle_s - 0.02)
    web.now = 9.1
    assert not web.masters.returns


def test_what_the_engine_heard_long_before_this_reporter_began_proves_nothing(web: Fixture) -> None:
    former = snapshot(role="master", since_s=T, reason=SILENT[0], outranked_s=time.time() - 60)
    web.cache.set_group(former)
    web.masters.observe(9.0)
    web.masters.outranks(former, 9.0)
    web.see("carp-1", "unknown", T, 9.0)
    assert not web.masters.returns
