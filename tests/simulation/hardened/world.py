"""Some nodes on a segment with loss and partitions, and an attacker who hears all of it and has no key.

What must hold, checked with every packet that a node hears:

- a packet that is not believed moves nothing: not the election, not its timers, not the list of members;
- what is believed was signed some seconds ago at most, and is believed once by a run of a node;
- in the end, while the attacker goes on, there is one master, it stays, and nothing moves.
"""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import NamedTuple

from carpsidecar.protocol.effects import Settings
from carpsidecar.protocol.hardened import Hardened
from tests.simulation.hardened.node import Make, Node

BELIEVED_AGE_MAX_S = 4.5
"""A second for the answer that taught the session, two of lateness, and what clocks drift apart."""
CALM_AFTER_S = 12.0
QUIET_S = 15.0
_YEARS_S = 365 * 86400.0


class Recording(NamedTuple):
    payload: bytes
    source: IPv4Address
    signed_s: float
    kind: int


class Violation(AssertionError):
    """Something happened that never may."""


@dataclass
class World:
    seed: int
    make: Make = Hardened
    heard: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.now = 0.0
        self.recordings: list[Recording] = []
        self._signed_s: dict[bytes, float] = {}
        self._believed: set[tuple[int, bytes, bytes]] = set()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._islands: dict[int, int] = {}
        self._loss = self.rng.choice((0.0, 0.01, 0.05))
        self._slow = 0.02
        self._timers: dict[int, float] = {}
        advbase, preempt = self.rng.choice(((1, False), (1, True), (0, False), (2, True)))
        step = self.rng.choice((0, 5 if advbase == 0 else 40))
        self.nodes = [
            Node(
                number,
                Settings(advbase, 40 + step * number, preempt=preempt),
                (self.rng.uniform(0, 40 * _YEARS_S), 1 + self.rng.uniform(-90e-6, 90e-6)),
                random.Random(self.rng.random()),
                self.make,
                self._wire,
            )
            for number in range(self.rng.randint(2, 4))
        ]

    # Time.

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (when, next(self._order), what))

    def run(self, until: float) -> None:
        while True:
            for node in self.nodes:
                if node.alive and node.deadline < self._timers.get(node.number, float("inf")):
                    self._timers[node.number] = node.deadline
                    self.at(node.deadline, lambda node=node: self._timer(node))  # type: ignore[misc]
            if not self._queue or self._queue[0][0] > until:
                break
            when, _, what = heapq.heappop(self._queue)
            self.now = max(self.now, when)
            what()
        self.now = until

    def _timer(self, node: Node) -> None:
        self._timers.pop(node.number, None)
        if node.alive and self.now >= node.runs_at and self.now >= node.deadline:
            node.timer(self.now + 1e-6)

    # The wire.

    def _wire(self, sender: Node, payload: bytes) -> None:
        recording = Recording(payload, sender.source, self.now, payload[0])
        self.recordings.append(recording)
        self._signed_s[payload] = self.now
        for node in self.nodes:
            same_island = self._islands.get(node.number) == self._islands.get(sender.number)
            if node is not sender and same_island and self.rng.random() >= self._loss:
                slow = self.rng.random() < self._slow
                delay_s = self.rng.uniform(0, 0.2) if slow else self.rng.uniform(0.0001, 0.003)
                self.deliver(node, recording, self.now + delay_s)

    def deliver(self, node: Node, recording: Recording, when: float) -> None:
        self.at(when, lambda: self._hear(node, recording))

    def _hear(self, node: Node, recording: Recording) -> None:
        if not node.alive:
            return
        if node.runs_at > self.now:
            self.at(node.runs_at + 1e-6, lambda: self._hear(node, recording))  # It waits in the socket.
            return
        before = node.election_facts
        drop = node.receive(self.now, recording.payload, recording.source)
        if drop is not None:
            self.heard[drop] += 1
            if node.election_facts != before:
                raise Violation(f"a packet that was not believed ({drop}) moved {before} to {node.election_facts}")
        else:
            self.heard["believed"] += 1
            age_s = self.now - self._signed_s[recording.payload]
            if age_s > BELIEVED_AGE_MAX_S:
                raise Violation(f"a packet that was {age_s:.1f} s old was believed")
            once = (node.number, node.hardened._freshness.session, recording.payload)
            if once in self._believed:
                raise Violation("a packet was believed twice")
            self._believed.add(once)
        node.flush(self.now)

    # Faults.

    def partition(self, duration_s: float) -> None:
        self._islands = {node.number: self.rng.randint(0, 1) for node in self.nodes}
        self.at(self.now + duration_s, self._islands.clear)

    def restart(self, node: Node, pause_s: float, cleanly: bool) -> None:
        if not node.alive:
            return
        if cleanly and self.now >= node.runs_at:
            node.stop(self.now)
        else:
            node.die()
        self._timers.pop(node.number, None)
        self.at(self.now + pause_s, lambda: None if node.alive else node.start(self.now))

    def stall(self, node: Node, duration_s: float) -> None:
        if node.alive and node.runs_at <= self.now:
            node.stall(self.now, duration_s)
            self.at(node.runs_at, lambda: node.wake(self.now) if node.alive else None)

    # The end.

    def settle(self) -> None:
        """All is well but for the attacker, and nothing is lost: one master must stand, and nothing may move."""
        self._loss = self._slow = 0.0
        self.run(self.now + CALM_AFTER_S)
        masters = [node.number for node in self.nodes if node.is_master]
        moved = [node.transitions for node in self.nodes]
        if len(masters) != 1:
            raise Violation(f"{len(masters)} masters in the end")
        self.run(self.now + QUIET_S)
        if [node.transitions for node in self.nodes] != moved:
            raise Violation("something moved while nothing happened but recordings being played")
