"""The stage of one measurement: two machines that share an address, a client that asks it, and who watches them."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from bench.systems import VIP, System
from bench.wire import Wire
from carpsidecar.lab.commands import LabError
from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.network import Lab
from carpsidecar.lab.node import Node
from carpsidecar.lab.probe import EchoServer, Probe
from carpsidecar.lab.process import Process
from tests.support.answers import AnswerWatch

_STARTS_WITHIN_S = 15.0
_HEAD_START_S = 1.2
"""More than an interval: ucarp looks at its clock no more often."""
TAKEOVER_WITHIN_S = 12.0
_AFTERWARDS_S = 0.5


@dataclass(frozen=True)
class Path:
    """When what happened at a takeover, in seconds since the fault; None where it did not, or was not seen."""

    advertised_last_s: float | None = None
    unanswered_s: float | None = None
    asked_s: float | None = None
    """When the second machine asked for the address."""
    advertised_s: float | None = None
    held_s: float | None = None
    announced_s: float | None = None
    answered_s: float | None = None


@dataclass
class Outcome:
    """What one fault did once."""

    outage_s: float
    two_holders_s: float
    still_two: bool
    transitions: int
    path: Path

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Scene:
    """`first` is master when the scene begins, `second` its backup. `struck_at` is when the fault was begun.

    Args:
        system: what runs on both.
        first: what runs on the first one, if it is another.
    """

    def __init__(self, lab: Lab, system: System, first: System | None = None) -> None:
        self.system = system
        self.lab = lab
        self._first_system = first or system
        self.first, self.second, self.client = (lab.node(name) for name in ("first", "second", "client"))
        self.struck_at = 0.0
        self.daemons: dict[str, Process] = {}
        self.watch: HolderWatch
        self.answers: AnswerWatch
        self.probe: Probe
        self.wire: Wire

    def start_daemon(self, node: Node, system: System | None = None) -> Process:
        """As `launch`, until it is backup."""
        process = self.launch(node, system)
        process.wait_for((system or self._system_of(node)).ready, _STARTS_WITHIN_S)
        return process

    def launch(self, node: Node, system: System | None = None) -> Process:
        """Args: system: as it is configured, where that is not the scene's."""
        rank = 0 if node is self.first else 1
        system = system or self._system_of(node)
        command = system.command(node, rank, self.lab.directory)
        self.daemons[node.name] = process = node.start(command, env=system.env)
        return process

    def _system_of(self, node: Node) -> System:
        return self._first_system if node is self.first else self.system

    def start_first(self) -> str:
        """Alone. As the others: the name of who is going to answer for the address."""
        self.start_daemon(self.first)
        self.watch.wait_for_holder(self.first.name, _STARTS_WITHIN_S)
        return self.first.name

    def start_pair(self) -> str:
        """The first machine's so much earlier that it becomes master."""
        self.start_daemon(self.first)
        if self.system.interval_s < _HEAD_START_S:
            self.watch.wait_for_holder(self.first.name, _STARTS_WITHIN_S)
        else:
            time.sleep(_HEAD_START_S)
        self.start_daemon(self.second)
        return self.first.name

    def start_stranger(self) -> str:
        """A machine that knows nothing of CARP and has the address, and nobody else yet."""
        stranger = self.lab.node("stranger")
        stranger.run(["ip", "address", "add", f"{VIP}/32", "dev", "eth0"])
        EchoServer(stranger)
        return stranger.name

    def strike(self, phase: float) -> None:
        """Wait for this part of the time between two advertisements of the master: the fault follows."""
        advertised = self.wire.wait_for("advertisement", str(self.first.address), TAKEOVER_WITHIN_S)
        time.sleep(max(0.0, advertised.at + phase * self.system.interval_s - time.monotonic()))
        self.struck_at = time.monotonic()

    def await_takeover(self) -> None:
        """Wait until the second machine answers the client, and a moment more."""
        self.probe.wait_until_answered_by(self.second.name, TAKEOVER_WITHIN_S)
        time.sleep(_AFTERWARDS_S)

    def outcome(self, since: float | None = None) -> Outcome:
        """What was seen since the fault, or since a later moment."""
        since = self.struck_at if since is None else since
        changes = [change for change in self.watch.changes if change.at > since]
        return Outcome(
            outage_s=self.probe.longest_outage_s(since - 0.01),
            two_holders_s=self.answers.two_holders_s(since),
            still_two=self.answers.still_two(),
            transitions=len(changes),
            path=self._path(),
        )

    def _path(self) -> Path:
        longest = max(self.probe.outages(self.struck_at - 0.01), key=lambda outage: outage.duration_s, default=None)
        heard = self.wire.heard
        adverts = {
            node: [h.at for h in heard if h.source == str(node.address)] for node in (self.first, self.second)
        }
        # The fault takes effect some milliseconds after it was begun: what comes through meanwhile counts.
        taken_over_at = next((at for at in adverts[self.second] if at > self.struck_at), self.struck_at)
        before = [at for at in adverts[self.first] if at <= taken_over_at]
        announced = [h.at for h in heard if h.kind == "announcement" and h.address == VIP]
        asked = [h.at for h in heard if h.kind == "question" and h.address == VIP]
        held = [change.at for change in self.watch.changes if change.node == self.second.name and change.held]
        return Path(
            advertised_last_s=self._since_fault(before[-1] if before else None),
            unanswered_s=self._since_fault(longest.start if longest else None),
            asked_s=self._first_after(asked),
            advertised_s=self._first_after(adverts[self.second]),
            held_s=self._first_after(held),
            announced_s=self._first_after(announced),
            answered_s=self._since_fault(longest.end if longest else None),
        )

    def _first_after(self, times: list[float]) -> float | None:
        return self._since_fault(next((at for at in times if at > self.struck_at), None))

    def _since_fault(self, at: float | None) -> float | None:
        return None if at is None else round(at - self.struck_at, 6)


class SetUpError(Exception):
    """The machines did not come to peace: nothing was measured."""


@contextmanager
def scene_of(
    system: System, prepare: Callable[[Scene], str] = Scene.start_pair, first: System | None = None
) -> Iterator[Scene]:
    """Machines at peace.

    Args:
        prepare: what stands there before the fault; by default the first one is master, the second one its backup.
        first: as in `Scene`.
    """
    with ExitStack() as stack:
        lab = stack.enter_context(Lab())
        scene = Scene(lab, system, first)
        scene.watch = stack.enter_context(HolderWatch([scene.first, scene.second], VIP))
        scene.wire = stack.enter_context(Wire(scene.client, scene.second))
        for node in (scene.first, scene.second):
            EchoServer(node)
        try:
            holder = prepare(scene)
            scene.probe = stack.enter_context(Probe(scene.client, VIP))
            scene.probe.wait_until_answered_by(holder, TAKEOVER_WITHIN_S)
            # By a machine of its own: the client's knowledge of who has the address is what is measured.
            holders = [node for node in lab.nodes.values() if node is not scene.client]
            scene.answers = stack.enter_context(AnswerWatch(lab.node("asker"), holders, VIP))
            if holder == scene.first.name:
                # What the start costs is over when one more has been sent.
                scene.wire.wait_for("advertisement", str(scene.first.address), TAKEOVER_WITHIN_S)
        except (LabError, TimeoutError) as error:
            raise SetUpError(str(error)) from None
        yield scene


def pair_of(system: System, lab: Lab) -> tuple[Process, Process]:
    """Master and backup with nobody who asks them: what they cost by themselves."""
    scene = Scene(lab, system)
    with HolderWatch([scene.first, scene.second], VIP) as scene.watch:
        scene.start_pair()
        scene.watch.wait_for_holder(scene.first.name, TAKEOVER_WITHIN_S)
    return scene.daemons["first"], scene.daemons["second"]
