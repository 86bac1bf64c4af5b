"""What is done to the master, and what is measured of it: one function a fault, one line a measure."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bench.scene import TAKEOVER_WITHIN_S, Outcome, Scene
from bench.systems import CARPSIDECAR, FLAPPING, SYSTEMS, UCARP, System, is_ours
from carpsidecar.lab.commands import LabError

Measure = Literal["outage", "two holders", "transitions"]

CUT_OFF_S = 6.0
_WATCHED_AFTERWARDS_S = 3.0
_SUPERVISED_S = 5.0
_FLAPS_WATCHED_S = 10.0
_MISFIT_WATCHED_S = 6.0
"""After a start: longer than the patience of one that hears no master, who takes the address then, or does not."""
_SAID = "is in use by"


@dataclass(frozen=True)
class Goal:
    """The most that is wanted, in seconds or transitions.

    `half_of` is a system: half of its median in the same run, and `most` does not count.
    """

    most: float
    of: Literal["median", "every round"] = "median"
    half_of: str = ""


NEVER = (Goal(0, "every round"),)
HALF_OF_KEEPALIVED = Goal(0, half_of="keepalived")


@dataclass(frozen=True)
class Row:
    """What is measured of a fault; `goals` by system."""

    measure: Measure
    goals: Mapping[str, Sequence[Goal]]

    def value(self, outcome: Outcome) -> float:
        if self.measure == "outage":
            return outcome.outage_s
        return outcome.two_holders_s if self.measure == "two holders" else outcome.transitions

    @property
    def what(self) -> str:
        return {
            "outage": "client without an answer",
            "two holders": "two nodes answer for the address",
            "transitions": f"transitions in {_FLAPS_WATCHED_S:g} s",
        }[self.measure]


@dataclass(frozen=True)
class Fault:
    """`rounds` are those of ours, `rounds_of_others` those of others, if they are fewer.

    Args:
        alone: measured with nothing else beside it, where it is a matter of milliseconds: with all systems, or
            with the fast ones.
        prepare: what stands there before the fault: a method of `Scene`.
        first: what runs on the first machine, if it is another system.
        systems: which ones it means something to; all where none is given.
    """

    key: str
    title: str
    play: Callable[[Scene, float], Outcome]
    rows: Sequence[Row]
    rounds: int
    rounds_of_others: int = 0
    quick: bool = False
    alone: Literal["always", "fast", ""] = ""
    prepare: Callable[[Scene], str] = Scene.start_pair
    first: System | None = None
    systems: Sequence[str] = ()

    @property
    def heading(self) -> str:
        return self.title[0].upper() + self.title[1:]

    def rounds_with(self, system: System) -> int:
        return self.rounds if is_ours(system) else self.rounds_of_others or self.rounds

    def system(self, system: System) -> System | None:
        """The system as this fault wants it; None where the fault means nothing to it."""
        if self.systems and system.key not in self.systems:
            return None
        return system.retimed(FLAPPING) if self.rows[0].measure == "transitions" else system


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
    scene.launch(scene.first)
    time.sleep(_SUPERVISED_S)
    return scene.outcome()


def _stranger(scene: Scene, phase: float) -> Outcome:
    return _started_beside_a_holder(scene, scene.system)


def _another_passphrase(scene: Scene, phase: float) -> Outcome:
    return _started_beside_a_holder(scene, replace(scene.system, passphrase="not-that-one"))


def _another_vhid(scene: Scene, phase: float) -> Outcome:
    return _started_beside_a_holder(scene, replace(scene.system, vhid=scene.system.vhid + 1))


def _started_beside_a_holder(scene: Scene, second: System) -> Outcome:
    """Ours must not only leave the address alone, but say why."""
    scene.struck_at = time.monotonic()
    daemon = scene.start_daemon(scene.second, second)
    if is_ours(second):
        daemon.wait_for(_SAID, TAKEOVER_WITHIN_S)
    else:
        scene.watch.wait_for_holder(scene.second.name, TAKEOVER_WITHIN_S)
    time.sleep(_MISFIT_WATCHED_S)
    if is_ours(second) and daemon.returncode is not None:
        raise LabError(f"{daemon} has ended")
    return scene.outcome()


def _outage(ours: float, fast: float) -> Row:
    return Row("outage", {"ours": (Goal(ours),), "ours-fast": (Goal(fast),)})


_LOST = Row(
    "outage", {"ours": (Goal(0.7), Goal(1.25, "every round"), HALF_OF_KEEPALIVED), "ours-fast": (Goal(0.04),)}
)
_DEAD = (
    _outage(0.15, 0.06),
    Row("two holders", {"ours": NEVER, "ours-fast": NEVER}),
)
_NEVER_TWO = (Row("two holders", {"ours": NEVER, "ours-fast": NEVER}),)
_OURS = tuple(system.key for system in SYSTEMS if is_ours(system))
_AUTHENTICATED = tuple(system.key for system in SYSTEMS if system.key != "keepalived-fast")
"""VRRP 3 has no passphrase."""

FAULTS = (
    Fault("machine-lost", "machine lost", _machine_lost, (_LOST,), 30, quick=True, alone="fast"),
    Fault("cable-pulled", "cable pulled", _cable_pulled, (_LOST,), 12, alone="fast"),
    Fault(
        *("mixed-lost", "machine of a ucarp master lost, ours is its backup", _machine_lost),
        (Row("outage", {"ours": (Goal(0.7), Goal(1.25, "every round"))}),),
        rounds=12,
        first=UCARP,
        systems=("ours",),
    ),
    Fault("killed", "daemon killed (-9), machine alive", _killed, _DEAD, 30, 3, quick=True),
    Fault("hangs", "daemon hangs (SIGSTOP)", _hangs, _DEAD, 30, 3),
    Fault(
        "clean-stop", "clean stop (TERM)", _clean_stop, (_outage(0.02, 0.02),), 10, 5, quick=True, alone="always"
    ),
    Fault(
        *("demoted", "handed over by hand (`carpsidecar step-down`)", _demoted, (_outage(0.02, 0.02),), 10),
        alone="always",
        systems=_OURS,
    ),
    Fault(
        *("cut-off", "cut off for 6 s, then joined again", _cut_off),
        (Row("two holders", {"ours": (Goal(0.02),), "ours-fast": (Goal(0.02),)}),),
        rounds=4,
    ),
    Fault("stranger", "`vip` is a stranger's", _stranger, _NEVER_TWO, 2, prepare=Scene.start_stranger),
    Fault(
        *("passphrase", "a member with another passphrase", _another_passphrase, _NEVER_TWO, 2),
        prepare=Scene.start_first,
        systems=_AUTHENTICATED,
    ),
    Fault("vhid", "a member with another vhid", _another_vhid, _NEVER_TWO, 2, prepare=Scene.start_first),
    Fault(
        *("flaps", "advbase 0, advskew 20 against 25", _flaps),
        (Row("transitions", dict.fromkeys(_OURS, NEVER)),),
        rounds=2,
    ),
    Fault("restarted", "killed (-9), restarted at once", _restarted, (_outage(1, 1),), 4),
)
"""Those with an outage first, as they are shown."""
