"""Some nodes on a segment with loss and partitions, and an attacker who hears all of it and has no key.

What must hold, checked with every packet that a node hears:

- a packet that is not believed moves nothing: nothing in the member, not a timer, not the list of members
  (only the claim guard notes a wrong digest from the address of the master that is followed);
- what is believed was signed some seconds ago at most, and is believed once by a run of a node;
- in the end, while the attacker goes on, there is one master, its kernel alone holds the address, nothing moves.
"""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from carpsidecar.protocol.effects import Settings
from carpsidecar.protocol.packet import Drop, IPAddress
from tests.simulation.hardened.node import INBOX, Node

BELIEVED_AGE_MAX_S = 4.5
"""A second for the answer that taught the session, two of lateness, and what clocks drift apart."""
CALM_AFTER_S = 12.0
QUIET_S = 15.0
_YEARS_S = 365 * 86400.0
_LATE_S = 2e-6
"""A timer fires so late, since a clock of decades is no more exact than a quarter of it."""


class Recording(NamedTuple):
    payload: bytes
    source: IPAddress
    node: int
    signed_s: float
    kind: int


class Violation(AssertionError):
    """Something happened that never may."""


@dataclass
class World:
    seed: int
    heard: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.now = 0.0
        self.recordings: list[Recording] = []
        self.freezes = self.rng.random() < 0.15
        """Whether machines are frozen: who does not know that time passed believes what was recorded meanwhile."""
        self.removed: set[Node] = set()
        """For good."""
        self._signed_s: dict[bytes, float] = {}
        self._believed: set[tuple[int, bytes, bytes]] = set()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._islands: dict[int, int] = {}
        self._tunnels: set[tuple[int, int]] = set()
        self._loss = self.rng.choice((0.0, 0.01, 0.05))
        self._slow = 0.02
        self._timers: dict[int, float] = {}
        advbase, preempt = self.rng.choice(((1, False), (1, True), (0, False), (2, True)))
        step = self.rng.choice((0, 5 if advbase == 0 else 40))
        both = self.rng.random() < 0.25
        self.nodes = [
            Node(
                number,
                Settings(advbase, 40 + step * number, preempt=preempt),
                (self.rng.uniform(0, 40 * _YEARS_S), 1 + self.rng.uniform(-90e-6, 90e-6)),
                random.Random(self.rng.random()),
                both,
                self,
            )
            for number in range(self.rng.randint(2, 4))
        ]

    # Time.

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (when, next(self._order), what))

    def run(self, until: float) -> None:
        while True:
            for node in self.nodes:
                if node.alive and node.touched:
                    self._arm(node)
            if not self._queue or self._queue[0][0] > until:
                break
            when, _, what = heapq.heappop(self._queue)
            self.now = max(self.now, when)
            what()
        self.now = until

    def _arm(self, node: Node) -> None:
        node.touched = False
        deadline = node.deadline
        if deadline < self._timers.get(node.number, float("inf")):
            self._timers[node.number] = deadline
            self.at(deadline, partial(self._timer, node))

    def _timer(self, node: Node) -> None:
        self._timers.pop(node.number, None)
        node.touched = True
        if node.alive and self.now >= node.runs_at and self.now >= node.deadline:
            node.timer(self.now + _LATE_S)

    # The wire.

    def sent(self, sender: Node, source: IPAddress, payload: bytes) -> None:
        recording = Recording(payload, source, sender.number, self.now, payload[0])
        self.recordings.append(recording)
        self._signed_s[payload] = self.now
        for node in self.nodes:
            if (sender.number, node.number) in self._tunnels:
                self.deliver(node, recording, self.now + self.rng.uniform(0.01, 0.9))
            if node is not sender and self._reaches(sender, node):
                slow = self.rng.random() < self._slow
                delay_s = self.rng.uniform(0, 0.2) if slow else self.rng.uniform(0.0001, 0.003)
                self.deliver(node, recording, self.now + delay_s)

    def asked(self, asker: Node) -> None:
        for node in self.nodes:
            there_and_back = self._reaches(asker, node) and self._reaches(node, asker)
            if node is not asker and node.holds(self.now) and there_and_back:
                answers = partial(self._answered, asker, node)
                self.at(self.now + self.rng.uniform(0.0002, 0.006), partial(self._arrives, asker, answers))

    def deliver(self, node: Node, recording: Recording, when: float) -> None:
        self.at(when, partial(self._arrives, node, partial(self._hear, node, recording)))

    def _reaches(self, one: Node, other: Node) -> bool:
        same_island = self._islands.get(one.number) == self._islands.get(other.number)
        return same_island and self.rng.random() >= self._loss

    def _answered(self, asker: Node, holder: Node) -> None:
        asker.address_answered(self.now, holder.mac)

    def _arrives(self, node: Node, heard: Callable[[], None]) -> None:
        if node.alive and node.runs_at <= self.now:
            heard()
        elif node.alive and len(node.inbox) < INBOX:
            node.inbox.append(heard)

    def _hear(self, node: Node, recording: Recording) -> None:
        before = node.facts()
        drop = node.receive(self.now, recording.payload, recording.source)
        if drop is None:
            self._believe(node, recording)
        elif node.facts(afresh=True) != before:
            raise Violation(f"at {self.now:.3f} s a packet that was not believed ({drop}) moved node {node.number}")
        elif drop is Drop.DIGEST:
            node.disagrees(self.now, recording.source)
        self.heard[drop or "believed"] += 1
        node.flush(self.now)

    def _believe(self, node: Node, recording: Recording) -> None:
        age_s = self.now - self._signed_s[recording.payload]
        if age_s > BELIEVED_AGE_MAX_S + node.frozen_s:
            raise Violation(f"at {self.now:.3f} s node {node.number} believed a packet that was {age_s:.1f} s old")
        once = (node.number, node.hardened._freshness.session, recording.payload)
        if once in self._believed:
            raise Violation(f"at {self.now:.3f} s node {node.number} believed a packet twice")
        self._believed.add(once)

    # Faults.

    def partition(self, duration_s: float) -> None:
        self._islands = {node.number: self.rng.randint(0, 1) for node in self.nodes}
        self.at(self.now + duration_s, self._islands.clear)

    def tunnel(self, sender: Node, receiver: Node, duration_s: float) -> None:
        """The attacker brings across, in one direction and a little later, what a partition keeps away."""
        way = sender.number, receiver.number
        self._tunnels.add(way)
        self.at(self.now + duration_s, lambda: self._tunnels.discard(way))

    def restart(self, node: Node, pause_s: float, how: str) -> None:
        """`how`: stopped cleanly, killed, or the machine loses its power."""
        if not node.alive or node.frozen:
            return
        if how == "stop" and self.now >= node.runs_at:
            node.stop(self.now)
        elif how == "power":
            node.power_off()
        else:
            node.die()
        self._timers.pop(node.number, None)
        self.at(self.now + pause_s, lambda: None if node.alive or node in self.removed else node.start(self.now))

    def stall(self, node: Node, duration_s: float) -> None:
        if node.alive and node.runs_at <= self.now:
            node.runs_at = self.now + duration_s
            self.at(node.runs_at, lambda: self._wake(node))

    def freeze(self, node: Node, duration_s: float) -> None:
        if node.alive and node.runs_at <= self.now:
            node.freeze()
            self.stall(node, duration_s)
            # Before the stall ends: the process that runs again sees a clock that stood still.
            thaw = (self.now + duration_s, -next(self._order), lambda: node.thaw(duration_s))
            heapq.heappush(self._queue, thaw)

    def step_clock(self, node: Node, by_s: float) -> None:
        node.step_clock(by_s)
        self._timers.pop(node.number, None)

    def _wake(self, node: Node) -> None:
        if not node.alive or self.now < node.runs_at:
            return
        if node.is_master and self.rng.random() < 0.5:
            node.timer(self.now + _LATE_S)
        # A backup reads what has arrived before it decides.
        while node.inbox and node.alive and self.now >= node.runs_at:
            node.inbox.popleft()()
        node.timer(self.now + _LATE_S)

    # The end.

    def settle(self) -> None:
        """All is well but for the attacker, and nothing is lost: one master must stand, and nothing may move."""
        self._loss = self._slow = 0.0
        self.run(self.now + CALM_AFTER_S)
        masters = [node.number for node in self.nodes if node.is_master]
        moved = [node.transitions for node in self.nodes]
        if len(masters) != 1:
            raise Violation(f"{len(masters)} masters in the end: {masters}")
        self.run(self.now + QUIET_S)
        if [node.transitions for node in self.nodes] != moved:
            raise Violation("something moved while nothing happened but recordings being played")
        holders = [node.number for node in self.nodes if node.holds(self.now)]
        if holders != masters:
            raise Violation(f"{holders} hold the address, and {masters} is master")
