"""A time of troubles: everything that can befall machines and networks, at once and on top of each other."""

import random
from collections.abc import Callable
from functools import partial
from itertools import permutations

from tests.simulation.node import Node
from tests.simulation.world import Weather, World

Cut = frozenset[tuple[int, int]]


class Faults:
    """Random faults that are all over at the end of `unleash`.

    Machines that died may stay dead, and demotions may stay; one machine at least is left.
    """

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._rng = rng
        self._cuts: list[Cut] = []
        self._patience_s = max(n.election.master_down_s for n in world.nodes)
        self._ends_at = 0.0

    def unleash(self) -> None:
        world, rng = self._world, self._rng
        self._ends_at = world.now + rng.uniform(2, 5) * self._patience_s
        kinds: list[Callable[[], None]] = [
            self._bad_weather,
            self._partition,
            self._one_way,
            self._crash,
            self._hang,
            self._ambush,
            self._link_lost,
            self._sends_fail,
            self._asked,
            self._promoted,
            self._demoted,
            self._stopped,
            self._kernel_busy,
            self._kernel_refuses,
            self._address_removed,
            self._stranger,
        ]
        weights = [rng.random() ** 2 for _ in kinds]
        for kind in rng.choices(kinds, weights, k=rng.randint(1, 4 + 2 * len(world.nodes))):
            world.at(rng.uniform(world.now, self._ends_at), kind)
        world.run_until(self._ends_at)
        self._end()

    def _end(self) -> None:
        world, rng = self._world, self._rng
        world.say("the troubles end")
        world.weather = world.calm
        world.blocked = set()
        world.stranger.leave()
        world.disturb()
        survivor = rng.choice(world.nodes)
        for node in world.nodes:
            node.disarm()
            node.set_link(True)
            node.set_slow(0.0)
            node.set_adding_fails(False)
            if node.sends_fail:
                node.set_sends_fail(False)
            if node is survivor or rng.random() < 0.8:
                node.boot()
            if node.demotion and rng.random() < 0.5:
                node.demote(0)

    def _later(self, action: Callable[[], None], at_most_s: float | None = None) -> float:
        """Undo a fault after a while, before the end."""
        left_s = self._ends_at - self._world.now
        duration_s = min(left_s, self._rng.random() ** 2 * (at_most_s or 3 * self._patience_s))
        self._world.at(self._world.now + duration_s, action)
        return duration_s

    def _node(self) -> Node:
        """Often the master: that is where it hurts."""
        masters = [n for n in self._world.nodes if n.is_master]
        if masters and self._rng.random() < 0.5:
            return self._rng.choice(masters)
        return self._rng.choice(self._world.nodes)

    # The network.

    def _bad_weather(self) -> None:
        world, rng = self._world, self._rng
        world.weather = Weather(
            delay_min_s=world.calm.delay_min_s,
            delay_max_s=rng.choice((world.calm.delay_max_s, rng.random() * self._patience_s)),
            loss=rng.choice((0.0, 0.05, 0.3, 0.7)),
            duplicate=rng.choice((0.0, 0.0, 0.2)),
        )
        world.say("the weather: {}", world.weather)
        world.disturb()
        self._later(self._fair_weather)

    def _fair_weather(self) -> None:
        self._world.weather = self._world.calm
        self._world.disturb()

    def _partition(self) -> None:
        sides = [self._rng.randint(0, 1) for _ in self._world.nodes]
        ways = permutations(range(len(sides)), 2)
        self._cut(frozenset((a, b) for a, b in ways if sides[a] != sides[b]))

    def _one_way(self) -> None:
        ways = list(permutations(range(len(self._world.nodes)), 2))
        self._cut(frozenset(self._rng.sample(ways, self._rng.randint(1, max(1, len(ways) // 3)))))

    def _cut(self, cut: Cut) -> None:
        self._world.say("cut: {}", sorted(cut))
        self._cuts.append(cut)
        self._cuts_changed()
        self._later(partial(self._mend, cut))

    def _mend(self, cut: Cut) -> None:
        self._world.say("mended: {}", sorted(cut))
        self._cuts.remove(cut)
        self._cuts_changed()

    def _cuts_changed(self) -> None:
        before = self._world.blocked
        self._world.blocked = set().union(*self._cuts)
        for way in before | self._world.blocked:
            self._world.trouble(*way)

    def _stranger(self) -> None:
        self._world.stranger.come()
        self._later(self._world.stranger.leave)

    # Machines.

    def _crash(self) -> None:
        node = self._node()
        self._rng.choice((node.kill, node.kill, node.power_off))()
        if self._rng.random() < 0.8:
            self._later(node.boot)

    def _hang(self) -> None:
        node = self._node()
        if node.alive:
            node.hang(min(self._ends_at - self._world.now, self._rng.random() ** 2 * 3 * self._patience_s))

    def _ambush(self) -> None:
        node = self._node()
        blow = self._rng.choice((node.kill, partial(self._hang_now, node)))
        node.ambush(self._rng.randint(0, 3), blow)

    def _hang_now(self, node: Node) -> None:
        node.hang(min(self._ends_at - self._world.now, self._rng.random() * 2 * self._patience_s))

    def _link_lost(self) -> None:
        node = self._node()
        node.set_link(False)
        self._later(partial(node.set_link, True))

    def _sends_fail(self) -> None:
        node = self._node()
        node.set_sends_fail(True)
        self._later(partial(node.set_sends_fail, False))

    def _asked(self) -> None:
        self._node().step_down()

    def _promoted(self) -> None:
        self._rng.choice(self._world.nodes).promote()

    def _demoted(self) -> None:
        node = self._node()
        node.demote(self._rng.choice((1, 20, 240)))
        if self._rng.random() < 0.7:
            self._later(partial(node.demote, 0))

    def _stopped(self) -> None:
        node = self._node()
        node.stop()
        self._later(node.boot)

    def _kernel_busy(self) -> None:
        node = self._node()
        node.set_slow(2.0)
        self._later(partial(node.set_slow, 0.0))

    def _kernel_refuses(self) -> None:
        node = self._node()
        node.set_adding_fails(True)
        self._later(partial(node.set_adding_fails, False))

    def _address_removed(self) -> None:
        self._node().lose_address()
