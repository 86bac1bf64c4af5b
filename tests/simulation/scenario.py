"""The world that a seed stands for: its machines, and what befalls them."""

import random
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from carpsidecar.engine.fencing import LEASE_SUFFICES_S
from carpsidecar.protocol.effects import Settings
from carpsidecar.protocol.packet import IPAddress
from carpsidecar.protocol.timing import TICKS_PER_S, interval_ticks, master_down_ticks
from tests.simulation.bsd import DEAD_RATIO, Bsd
from tests.simulation.faults import Faults
from tests.simulation.invariants import Monitor
from tests.simulation.mutants import Mutant, member_maker
from tests.simulation.node import Node
from tests.simulation.peace import await_peace
from tests.simulation.probes import probe
from tests.simulation.world import Weather, World

BSDS_PART = 0.25
"""Of the worlds, those that have BSDs in them."""
STARTS_SOON_PART = 0.15
"""Of the worlds, those whose members start as those of a Service's address do: where nobody answers for it."""

_SLOWEST_TO_FASTEST_MAX = 30
"""So that no world takes minutes: the longest patience in the shortest intervals."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a world was like."""

    virtual_s: float
    deliveries: int
    transitions: int
    nodes: int


def make_world(seed: str, mutant: Mutant | None = None) -> World:
    """The machines of this seed; all of them make this mistake."""
    node_type = mutant if mutant is not None and issubclass(mutant, Node) else Node
    make_member = member_maker(mutant)
    rng = random.Random(f"{seed} machines")
    n = rng.choice((2, 2, 2, 3, 3, 3, 4, 5, 6, 8, 11, 16))
    settings = _settings(rng, n)
    if random.Random(f"{seed} start").random() < STARTS_SOON_PART:
        settings = [one._replace(starts_soon=True) for one in settings]
    shortest_s = min(interval_ticks(s.advbase, s.advskew) for s in settings) / TICKS_PER_S
    delay_max_s, latency_s = rng.choice(((0.0005, 0.0002), (0.005, 0.001)))
    delay_max_s = min(delay_max_s, shortest_s / 8)
    calm = Weather(delay_min_s=delay_max_s * rng.random(), delay_max_s=delay_max_s)
    world = World(seed, calm, latency_s=min(latency_s, shortest_s / 16))
    world.monitor = Monitor(world)
    families = rng.choice(("4", "4", "6", "46"))
    # One below and one above every IPv4 address, byte by byte.
    prefix = rng.choice(("2001:db8", "fe80"))
    numbers = rng.sample(range(1, 250), n)
    numbers_v6 = rng.sample(range(1, 250), n)
    unheard = rng.choice((0.0, 0.0, 0.0, 0.3, 1.0))
    fence = rng.choice(("auto", "auto", "auto", "off", "on"))
    bsds = _bsds(random.Random(f"{seed} BSDs"), settings)
    for index in range(n):
        sources: list[IPAddress] = []
        if "4" in families:
            sources.append(IPv4Address(f"192.0.2.{numbers[index]}"))
        if "6" in families:
            sources.append(IPv6Address(f"{prefix}::{numbers_v6[index]:x}"))
        if index in bsds:
            with_their_ratio = settings[index]._replace(dead_ratio=DEAD_RATIO)
            world.nodes.append(Bsd(world, index, with_their_ratio, sources, bows_out=bsds[index]))
            continue
        fenced = fence == "on" or (fence == "auto" and _patience_s(settings[index]) < LEASE_SUFFICES_S)
        node = node_type(world, index, settings[index], sources, make_member, fenced)
        node.unheard = rng.random() < unheard
        world.nodes.append(node)
    return world


def _bsds(rng: random.Random, settings: list[Settings]) -> dict[int, bool]:
    """Which machines run a BSD, and whether it bows out when it stops.

    Of one advbase there is one at most: two whose intervals are equal may both yield, without end.
    """
    if rng.random() >= BSDS_PART:
        return {}
    drawn = rng.sample(range(len(settings)), rng.randint(1, (len(settings) + 1) // 2))
    by_advbase = {settings[index].advbase: index for index in drawn}
    return {index: rng.random() < 0.5 for index in by_advbase.values()}


def live(world: World) -> Outcome:
    """From the first start to the last peace.

    Raises:
        Broken: an invariant does not hold.
    """
    rng = random.Random(f"{world.rng.random()} faults")
    for node in world.nodes:
        fence = "with" if node.kernel.fenced else "no"
        world.say("{}: {}, {}, {} fence", node, ", ".join(map(str, node.sources)), node.settings, fence)
        world.at(rng.choice((0.0, 0.0, rng.uniform(0, 3))), node.boot)
    if rng.random() < 0.1:
        world.stranger.come()
        world.at(rng.uniform(0, 3), world.stranger.leave)
    world.run_until(3.0)
    if rng.random() < 0.75:
        faults = Faults(world, rng)
        faults.unleash()
    await_peace(world)
    for _ in range(rng.choice((1, 1, 2, 3))):
        probe(world, rng)
        for node in world.nodes:
            node.set_link(True)
            node.boot()
        await_peace(world)
    return Outcome(world.now, world.deliveries, world.monitor.transitions, len(world.nodes))


def _patience_s(settings: Settings) -> float:
    return master_down_ticks(settings.advbase, settings.advskew, settings.dead_ratio) / TICKS_PER_S


def _settings(rng: random.Random, n: int) -> list[Settings]:
    kind = rng.choice(("uniform", "uniform", "mixed", "fast"))
    preempt = rng.choice((0.0, 1.0, 0.5))
    while True:
        advbase, dead_ratio = rng.choice((1, 1, 1, 2, 3)), rng.choice((2, 3, 3, 3, 4))
        settings = []
        for _ in range(n):
            advskew = rng.choice((0, 0, 100, rng.randint(0, 255)))
            if kind == "mixed":
                advbase, dead_ratio = rng.choice((0, 1, 1, 2, 3)), rng.randint(2, 5)
                advskew = max(advskew, 20) if advbase == 0 else advskew
            elif kind == "fast":
                advbase, advskew = 0, rng.choice((0, 1, 5, 20, 20, 20, rng.randint(0, 120)))
            settings.append(Settings(advbase, advskew, dead_ratio, rng.random() < preempt))
        shortest = min(interval_ticks(s.advbase, s.advskew) for s in settings)
        longest = max(master_down_ticks(s.advbase, s.advskew, s.dead_ratio) for s in settings)
        if longest / shortest <= _SLOWEST_TO_FASTEST_MAX:
            return settings
