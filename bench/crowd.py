"""Hundreds of nodes in the simulator: the real election under virtual time, on a network of half a millisecond."""

import time
from dataclasses import dataclass
from ipaddress import IPv4Address

from carpsidecar.protocol.effects import Settings
from tests.simulation.invariants import Monitor
from tests.simulation.node import Node
from tests.simulation.peace import await_peace
from tests.simulation.world import Weather, World

_NETWORK = IPv4Address("10.0.0.0")


@dataclass(frozen=True)
class Crowd:
    nodes: int
    failover_s: float
    """Virtual: from the master's death to its successor."""
    transitions: int
    """At that failover; one is right."""
    packets_per_s: float
    real_s: float


def simulate(nodes: int) -> Crowd:
    """Start so many, wait for peace, kill the master, wait for peace again. The invariants must hold all along."""
    begun = time.monotonic()
    world = World(f"crowd of {nodes}", Weather(0.0002, 0.0005), latency_s=0.0005)
    world.monitor = Monitor(world)
    for index in range(nodes):
        settings = Settings(advbase=1, advskew=min(index, 254))
        world.nodes.append(Node(world, index, settings, [_NETWORK + 1 + index]))
    for node in world.nodes:
        node.boot()
    master = await_peace(world)
    assert master is not None
    killed_at, transitions, packets = world.now, world.monitor.transitions, world.deliveries
    master.kill()
    while not any(node.is_master for node in world.nodes):
        world.run_until(world.now + 0.001)
    failover_s = world.now - killed_at
    await_peace(world)
    per_s = (world.deliveries - packets) / (world.now - killed_at)
    return Crowd(nodes, failover_s, world.monitor.transitions - transitions, per_s, time.monotonic() - begun)
