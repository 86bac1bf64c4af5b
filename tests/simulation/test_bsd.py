"""A BSD and a node of ours with equal intervals meet after a partition: one of them stays master."""

from ipaddress import ip_address

import pytest

from carpsidecar.protocol.effects import Settings
from carpsidecar.protocol.packet import IPAddress
from tests.simulation.bsd import Bsd
from tests.simulation.engine import MakeMember
from tests.simulation.invariants import Broken, Monitor
from tests.simulation.mutants import FarewellToAnEqual, member_maker
from tests.simulation.node import Node
from tests.simulation.peace import await_peace
from tests.simulation.world import Weather, World

PARTITION_S = 5.0
WORLDS = 10


def meet(seed: str, bsd_ip: IPAddress, make_member: MakeMember) -> float:
    """For how long nobody has the address after the partition."""
    world = World(seed, Weather(0.0002, 0.0005), latency_s=0.0005)
    world.monitor = Monitor(world)
    # With advskew 0 they would advertise in step, and what each says would often cross: both yield then.
    equal = Settings(advbase=1, advskew=100)
    world.nodes = [
        Node(world, 0, equal, [ip_address("192.0.2.20")], make_member),
        Bsd(world, 1, equal, [bsd_ip], bows_out=False),
    ]
    # Ours is master first: whoever takes over in the partition refreshes, and would be heard first each time.
    for node in world.nodes:
        node.boot()
        await_peace(world)
    ways = {(0, 1), (1, 0)}
    world.blocked = set(ways)
    world.run_until(world.now + PARTITION_S + world.rng.random())
    assert all(node.is_master for node in world.nodes)
    world.blocked = set()
    for way in ways:
        world.trouble(*way)
    nobody_s, until = 0.0, world.now + PARTITION_S
    while world.now < until:
        world.run_until(world.now + 0.001)
        nobody_s += 0.001 * (not any(node.kernel.held for node in world.nodes))
    await_peace(world)
    return nobody_s


def longest_s(bsd_ip: IPAddress, make_member: MakeMember) -> float:
    return max(meet(str(seed), bsd_ip, make_member) for seed in range(WORLDS))


@pytest.mark.parametrize("bsd_ip", [ip_address("192.0.2.10"), ip_address("192.0.2.30")], ids=["lower", "higher"])
def test_one_of_two_that_are_equal_stays_master(bsd_ip: IPAddress) -> None:
    assert longest_s(bsd_ip, member_maker(None)) < 0.01


def test_a_farewell_to_an_equal_makes_both_yield_and_is_seen() -> None:
    with pytest.raises(Broken, match="node 0 yields, and makes node 1 yield too"):
        longest_s(ip_address("192.0.2.10"), member_maker(FarewellToAnEqual))
