"""A backup asks for its master's address, and takes over as soon as nobody answers."""

import pytest

from carpsidecar.member.probe import (
    CALIBRATIONS_MAX,
    GAP_MAX_S,
    HELD_GAPS,
    NEVER,
    OVERDUE_MAX_S,
    QUESTIONS,
    Probe,
    ProbeStep,
)

VHID = 64  # no phase: calibrated at once


@pytest.fixture
def probe() -> Probe:
    return Probe(VHID)


def calibrated(now: float = 0.0, round_trip_s: float = 0.0002, interval_s: float = 1.0) -> Probe:
    """One whose master advertised at `now`, and answered a question there."""
    probe = Probe(VHID)
    probe.advertised(now, "master", interval_s)
    assert probe.timer_expired(now) is ProbeStep.ASK
    probe.answered(now + round_trip_s)
    probe.advertised(now, "master", interval_s)
    return probe


def step(probe: Probe) -> tuple[float, ProbeStep]:
    """What it does at its deadline."""
    now = probe.deadline
    return now, probe.timer_expired(now)


def test_a_node_that_follows_nobody_asks_nothing(probe: Probe) -> None:
    assert probe.deadline == NEVER
    assert probe.timer_expired(1e9) is ProbeStep.NOTHING


def test_a_new_master_is_asked_once_while_it_advertises(probe: Probe) -> None:
    probe.advertised(10.0, "master", 1.0)
    assert step(probe) == (10.0, ProbeStep.ASK)
    probe.answered(10.001)
    assert probe.calibrated
    for now in (11.0, 12.0, 13.0):
        assert probe.timer_expired(now) is ProbeStep.NOTHING
        probe.advertised(now, "master", 1.0)


def test_a_master_that_never_answered_is_never_probed(probe: Probe) -> None:
    asked = 0
    for now in range(20):
        probe.advertised(float(now), "master", 1.0)
        asked += probe.timer_expired(float(now)) is ProbeStep.ASK
    assert asked == CALIBRATIONS_MAX
    assert probe.deadline == NEVER


def test_a_late_answer_to_the_calibration_is_not_taken_for_the_answer_of_another_master(probe: Probe) -> None:
    probe.advertised(0.0, "one", 1.0)
    probe.timer_expired(0.0)
    probe.advertised(0.5, "other", 1.0)
    probe.answered(0.6)
    assert not probe.calibrated


def test_nothing_is_asked_while_advertisements_come_on_time() -> None:
    probe = calibrated()
    for now in range(1, 100):
        assert probe.timer_expired(float(now)) is ProbeStep.NOTHING
        probe.advertised(float(now), "master", 1.0)


def test_a_lost_master_is_found_gone_within_a_quarter_of_an_interval() -> None:
    probe = calibrated()
    steps = [step(probe) for _ in range(QUESTIONS + 1)]
    assert [what for _, what in steps] == [ProbeStep.ASK] * QUESTIONS + [ProbeStep.GONE]
    assert steps[0][0] == pytest.approx(1.0 + OVERDUE_MAX_S)
    assert steps[-1][0] == pytest.approx(1.0 + OVERDUE_MAX_S + QUESTIONS * GAP_MAX_S)
    assert steps[-1][0] < 1.25


def test_a_master_that_is_lost_after_its_first_advertisement_is_found_gone_as_soon(probe: Probe) -> None:
    probe.advertised(0.0, "master", 1.0)
    assert step(probe) == (0.0, ProbeStep.ASK)
    probe.answered(0.0002)
    assert [step(probe)[1] for _ in range(QUESTIONS)] == [ProbeStep.ASK] * QUESTIONS
    now, what = step(probe)
    assert what is ProbeStep.GONE
    assert now == pytest.approx(1.0 + OVERDUE_MAX_S + QUESTIONS * GAP_MAX_S)


def test_one_that_answers_only_when_it_is_silent_has_all_the_patience(probe: Probe) -> None:
    probe.advertised(0.0, "master", 1.0)
    assert step(probe) == (0.0, ProbeStep.ASK)
    assert step(probe) == (1.0, ProbeStep.ASK)
    probe.answered(1.0 + 2 * OVERDUE_MAX_S)
    assert probe.deadline == NEVER


def test_the_fastest_recommended_setting_finds_it_gone_within_twenty_milliseconds() -> None:
    interval_s = 4 / 256
    probe = calibrated(interval_s=interval_s)
    last = [step(probe) for _ in range(QUESTIONS + 1)][-1]
    assert last[1] is ProbeStep.GONE
    assert last[0] - interval_s < 0.020


def test_one_answer_is_enough_to_wait_on_and_to_ask_again_later() -> None:
    probe = calibrated()
    for _ in range(QUESTIONS):
        now, what = step(probe)
        assert what is ProbeStep.ASK
    probe.answered(now + 0.001)
    again, what = step(probe)
    assert what is ProbeStep.ASK
    assert again == pytest.approx(now + 0.001 + HELD_GAPS * GAP_MAX_S)


def test_a_master_whose_lease_runs_out_while_it_is_asked_is_found_gone_there_and_then() -> None:
    probe = calibrated()
    lease_ends = 2.2
    while True:
        now, what = step(probe)
        if what is ProbeStep.GONE:
            break
        if now < lease_ends:
            probe.answered(now + 0.0002)
    assert lease_ends < now < lease_ends + (HELD_GAPS + QUESTIONS + 1) * GAP_MAX_S


def test_an_advertisement_ends_the_questions() -> None:
    probe = calibrated()
    step(probe)
    step(probe)
    probe.advertised(1.13, "master", 1.0)
    assert probe.unanswered == 0
    assert probe.deadline == pytest.approx(2.13 + OVERDUE_MAX_S)


def test_a_slow_segment_is_waited_for() -> None:
    probe = calibrated(round_trip_s=0.05)
    first, _ = step(probe)
    second, _ = step(probe)
    assert second - first == pytest.approx(0.1)


def test_a_node_that_was_stalled_begins_again_an_interval_later() -> None:
    probe = calibrated()
    for _ in range(QUESTIONS):
        now, _ = step(probe)
    probe.stalled(now + 5)
    assert probe.timer_expired(now + 5) is ProbeStep.NOTHING
    assert probe.deadline == pytest.approx(now + 6)
    assert probe.unanswered == 0


def test_the_groups_of_one_master_are_calibrated_at_different_times() -> None:
    probes = [Probe(vhid) for vhid in range(255)]
    for probe in probes:
        probe.advertised(0.0, "master", 1.0)
    assert len({probe.deadline for probe in probes}) == 64
    assert max(probe.deadline for probe in probes) < 1.0
