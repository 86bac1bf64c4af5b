"""What is done to the master, and what is measured of it: the table of issue 3, one function a row."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from bench.scene import TAKEOVER_WITHIN_S, Outcome, Scene
from bench.systems import CARPSIDECAR, FLAPPING, System, is_ours

Measure = Literal["outage", "two holders", "transitions"]

CUT_OFF_S = 6.0
_WATCHED_AFTERWARDS_S = 5.0
_SUPERVISED_S = 5.0
_FLAPS_WATCHED_S = 10.0

AS_KEEPALIVED = "keepalived"
"""A goal that is another system's median in the same run."""


@dataclass(frozen=True)
class Fault:
    """`goals` is by system: the most that is wanted, in seconds or transitions."""

    key: str
    title: str
    measure: Measure
    play: Callable[[Scene, float], Outcome]
    goals: Mapping[str, float | str]
    quick: bool = False
    only_ours: bool = False

    @property
    def what(self) -> str:
        return {
            "outage": "client without an answer",
            "two holders": "two nodes hold the address",
            "transitions": f"transitions in {_FLAPS_WATCHED_S:g} s",
        }[self.measure]

    @property
    def heading(self) -> str:
        return self.title[0].upper() + self.title[1:]

    def value(self, outcome: Outcome) -> float:
        if self.measure == "outage":
            return outcome.outage_s
        return outcome.two_holders_s if self.measure == "two holders" else outcome.transitions

    def system(self, system: System) -> System | None:
        """The system as this fault wants it; None where the fault means nothing to it."""
        if self.only_ours and not is_ours(system):
            return None
        return system.retimed(FLAPPING) if self.measure == "transitions" else system


def _clean_stop(scene: Scene, phase: float) -> Outcome:
    scene.strike(phase)
    scene.daemons["first"].stop()
    scene.await_takeover()
    return scene.outcome()


def _demoted(scene: Scene, phase: float) -> Outcome:
    scene.strike(phase)
    scene.first.run([*CARPSIDECAR, "step-down", "--reason", "benchmark"])
    scene.await_takeover()
    return scene.outcome()


def _machine_lost(scene: Scene, phase: float) -> Outcome:
    scene.strike(phase)
    scene.first.power_off()
    scene.await_takeover()
    return scene.outcome()


def _cable_pulled(scene: Scene, phase: float) -> Outcome:
    scene.strike(phase)
    scene.first.pull_cable()
    scene.await_takeover()
    return scene.outcome()


def _killed(scene: Scene, phase: float) -> Outcome:
    scene.strike(phase)
    scene.daemons["first"].kill()
    return _watch_two_holders(scene)


def _hangs(scene: Scene, phase: float) -> Outcome:
    scene.strike(phase)
    scene.daemons["first"].hang()
    return _watch_two_holders(scene)


def _watch_two_holders(scene: Scene) -> Outcome:
    scene.watch.wait_for_holder("second", TAKEOVER_WITHIN_S)
    time.sleep(_WATCHED_AFTERWARDS_S)
    return scene.outcome()


def _cut_off(scene: Scene, phase: float) -> Outcome:
    scene.strike(phase)
    scene.first.cut_off()
    # In another phase each round, since the second machine's advertisements count from the fault, too.
    time.sleep(CUT_OFF_S + phase * scene.system.interval_s)
    joined_at = scene.wire.joined_at(scene.first, scene.first.rejoin)
    scene.watch.wait_for_exactly_one(TAKEOVER_WITHIN_S)
    time.sleep(2 * scene.system.interval_s)
    return scene.outcome(since=joined_at)


def _flaps(scene: Scene, phase: float) -> Outcome:
    scene.strike(phase)
    time.sleep(_FLAPS_WATCHED_S)
    return scene.outcome()


def _restarted(scene: Scene, phase: float) -> Outcome:
    scene.strike(phase)
    scene.daemons["first"].kill()
    scene.start_daemon(scene.first)
    time.sleep(_SUPERVISED_S)
    return scene.outcome()


def _goals(ours: float | str, fast: float) -> Mapping[str, float | str]:
    return {"ours": ours, "ours-fast": fast}


FAULTS = (
    Fault("clean-stop", "clean stop (TERM)", "outage", _clean_stop, _goals(0.02, 0.02), quick=True),
    Fault(
        "demoted",
        "handed over by hand (`carpsidecar step-down`)",
        "outage",
        _demoted,
        _goals(0.02, 0.02),
        only_ours=True,
    ),
    Fault("machine-lost", "machine lost", "outage", _machine_lost, _goals(AS_KEEPALIVED, 0.06), quick=True),
    Fault("cable-pulled", "cable pulled", "outage", _cable_pulled, _goals(AS_KEEPALIVED, 0.06)),
    Fault("killed", "daemon killed (-9), machine alive", "two holders", _killed, _goals(0, 1), quick=True),
    Fault("hangs", "daemon hangs (SIGSTOP)", "two holders", _hangs, _goals(0, 1)),
    Fault("cut-off", "cut off for 6 s, then joined again", "two holders", _cut_off, _goals(0.02, 0.02)),
    Fault("flaps", "advbase 0, advskew 20 against 25", "transitions", _flaps, _goals(0, 0)),
    Fault("restarted", "killed (-9), restarted at once", "outage", _restarted, _goals(1, 1)),
)
