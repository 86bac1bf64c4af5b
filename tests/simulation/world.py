"""Virtual time and the wire between nodes. Nothing here reads a clock; chance comes from one seeded source."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from carpsidecar.protocol.packet import IPAddress

if TYPE_CHECKING:
    from tests.simulation.engine import Engine
    from tests.simulation.invariants import Monitor
    from tests.simulation.node import Node

NEVER = float("-inf")


@dataclass(slots=True)
class Weather:
    """How the network treats a packet: chances, and seconds."""

    delay_min_s: float
    delay_max_s: float
    loss: float = 0.0
    duplicate: float = 0.0


class Machine(Protocol):
    """Whoever may have the address."""

    @property
    def index(self) -> int: ...
    @property
    def link_up(self) -> bool: ...
    @property
    def troubled_at(self) -> float: ...
    @property
    def answers(self) -> bool: ...


class Stranger:
    """A machine that never speaks CARP, and sometimes has the address."""

    index = -1
    link_up = True
    troubled_at = NEVER

    def __init__(self, world: "World") -> None:
        self._world = world
        self.answers = False
        self.came_at = self.left_at = NEVER

    def come(self) -> None:
        if not self.answers:
            self._world.say("a stranger has the address")
            self.answers, self.came_at = True, self._world.now
            self._world.disturb()

    def leave(self) -> None:
        if self.answers:
            self._world.say("the stranger has it no longer")
            self.answers, self.left_at = False, self._world.now
            self._world.disturb()


class World:
    """A heap of things to come, and a network that delays, loses, doubles and reorders.

    Args:
        seed: the same one makes the same world.
        calm: the weather of the healthy network; a packet that meets any other counts as trouble.
        latency_s: how late a timer may run on a healthy node.
    """

    monitor: "Monitor"

    def __init__(self, seed: str, calm: Weather, latency_s: float) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.calm = calm
        self.weather = calm
        self.latency_s = latency_s
        self.nodes: list[Node] = []
        self.stranger = Stranger(self)
        self.blocked: set[tuple[int, int]] = set()
        self.story: list[str] | None = None
        self.disturbed_at = 0.0
        """When something last went wrong, for the network as a whole."""
        self.deliveries = 0
        self._last_arrival: dict[tuple[int, int], float] = {}
        self._trouble: dict[tuple[int, int], float] = {}
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()

    # Time.

    def at(self, when: float, action: Callable[..., None], *args: Any) -> None:
        heappush(self._heap, (when, next(self._order), action, args))

    def run_until(self, until: float) -> None:
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, _, action, args = heappop(heap)
            action(*args)
        self.now = until

    def say(self, text: str, *args: object) -> None:
        if self.story is not None:
            self.story.append(f"{self.now:12.6f}  {text.format(*args)}")

    # Trouble: what excuses nodes for not knowing of each other.

    def disturb(self) -> None:
        self.disturbed_at = self.now

    def trouble(self, sender: int, receiver: int) -> None:
        self._trouble[sender, receiver] = self.disturbed_at = self.now

    def trouble_since(self, sender: "Machine", receiver: "Machine") -> float:
        """When a packet from one to the other last fared worse than in a healthy network."""
        return max(self.way_trouble_since(sender, receiver), sender.troubled_at, receiver.troubled_at)

    def way_trouble_since(self, sender: "Machine", receiver: "Machine") -> float:
        """The same for the network alone."""
        return self._trouble.get((sender.index, receiver.index), NEVER)

    # The wire.

    def broadcast(self, sender: "Engine", payload: bytes, source: IPAddress) -> None:
        for receiver in self.nodes:
            if receiver is not sender:
                self._send(sender, receiver, payload, source)

    def ask(self, asker: "Engine", rank: bytes) -> None:
        """Who has the address? The kernels answer, and question and answer may fare as any packet does.

        Args:
            rank: empty where the asker is not about to take it; engines hear of it otherwise.
        """
        for node in self.nodes:
            if node is not asker:
                self._carry(asker, node, self._asked, node, asker, rank)
        self._carry(asker, self.stranger, self._answer, self.stranger, asker)

    def _asked(self, node: "Engine", asker: "Engine", rank: bytes) -> None:
        if rank:
            node.question_arrives(rank)
        self._answer(node, asker)

    def _answer(self, holder: "Machine", asker: "Engine") -> None:
        if holder.answers and holder.link_up:
            self._carry(holder, asker, asker.answer_arrives, holder)

    def _carry(
        self, sender: "Machine", receiver: "Machine", arrives: Callable[..., None], *details: object
    ) -> None:
        """A frame of ARP or NDP, which keeps no order with others."""
        weather, way = self.weather, (sender.index, receiver.index)
        lost = way in self.blocked or not sender.link_up or not receiver.link_up
        if lost or self.rng.random() < weather.loss:
            self.trouble(*way)
            return
        delay = weather.delay_min_s + (weather.delay_max_s - weather.delay_min_s) * self.rng.random()
        if delay > self.calm.delay_max_s:
            self.trouble(*way)
        self.at(self.now + delay, arrives, *details)

    def _send(self, sender: "Engine", receiver: "Engine", payload: bytes, source: IPAddress) -> None:
        weather = self.weather
        way = (sender.index, receiver.index)
        if way in self.blocked or not sender.link_up or not receiver.link_up:
            self.trouble(*way)
            return
        random_ = self.rng.random
        if weather.loss and random_() < weather.loss:
            self.trouble(*way)
            return
        span = weather.delay_max_s - weather.delay_min_s
        delay = weather.delay_min_s + span * random_()
        arrival = self.now + delay
        late = delay > self.calm.delay_max_s
        if late:
            self.trouble(*way)
        else:
            # A healthy network keeps the order.
            arrival = max(arrival, self._last_arrival.get(way, 0.0))
            self._last_arrival[way] = arrival
        self.at(arrival, self._deliver, way, receiver, payload, source, late, self.now)
        if weather.duplicate and random_() < weather.duplicate:
            again = weather.delay_min_s + span * random_()
            self.at(self.now + again, self._deliver, way, receiver, payload, source, True, self.now)

    def _deliver(
        self,
        way: tuple[int, int],
        receiver: "Engine",
        payload: bytes,
        source: IPAddress,
        late: bool,
        sent_at: float,
    ) -> None:
        if late:
            self.trouble(*way)
        if not receiver.link_up:
            self.trouble(*way)
            return
        self.deliveries += 1
        receiver.packet_arrives(payload, source, sent_at)
