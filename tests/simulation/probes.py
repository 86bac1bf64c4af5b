"""One fault in a network at peace, with the promise that goes with it."""

import random
from collections.abc import Callable
from functools import partial
from itertools import permutations

from carpsidecar.protocol.timing import lease_lifetime_s
from tests.simulation.invariants import Broken
from tests.simulation.kernel import fence_ends_in_time
from tests.simulation.node import Node
from tests.simulation.peace import await_peace
from tests.simulation.world import World
from tests.support.contract import KERNEL_LATE_S, TAKEOVER_WAIT_MAX_S, outlives_its_lease

RENEWED_PART = 0.75
"""The part of its lifetime after which a lease that nothing else renews must be renewed."""


def probe(world: World, rng: random.Random) -> None:
    """Do something to the master, or beside it, at a random moment between two advertisements.

    Raises:
        Broken: what was promised for this does not come true.
    """
    masters = [n for n in world.nodes if n.is_master]
    if not masters:
        return
    (master,) = masters
    world.run_until(world.now + rng.random() * master.election.interval_s)
    kinds: list[Callable[[World, random.Random, Node], None]] = [
        _killed,
        _killed,
        _hung,
        _hung,
        _stopped,
        _asked,
        _promoted,
        _restarted,
        _unplugged,
        _demoted,
        _cut_off,
    ]
    if not master.is_ours:
        kinds = [kind for kind in kinds if kind not in _FOR_OURS]
    kind = rng.choice(kinds)
    world.say("at peace; next: {} {}", master, kind.__name__.strip("_"))
    kind(world, rng, master)
    await_peace(world)


def _killed(world: World, rng: random.Random, master: Node) -> None:
    _lease_ends_in_time(world, master, master.kill)


def _hung(world: World, rng: random.Random, master: Node) -> None:
    duration_s = rng.random() ** 2 * 3 * master.election.master_down_s
    _lease_ends_in_time(world, master, partial(master.hang, duration_s))


def _lease_ends_in_time(world: World, master: Node, blow: Callable[[], None]) -> None:
    """Nobody takes over before the address is silent, where a fence or whole seconds allow it."""
    others = [n for n in world.nodes if n.alive and n is not master]
    settings = master.settings
    lifetime_s = lease_lifetime_s(settings.advbase, settings.advskew, settings.dead_ratio)
    patience_s = min((n.election.master_down_s for n in others), default=0.0)
    if master.kernel.fenced:
        in_time = fence_ends_in_time(patience_s, master.election.master_down_s)
    else:
        # Since the last advertisement: the last renewal that is needed so that no lease ends before the next one.
        renewed_s = max(0.0, master.election.interval_s - RENEWED_PART * lifetime_s)
        in_time = outlives_its_lease(patience_s - renewed_s, lifetime_s) and renewed_s <= RENEWED_PART * lifetime_s
    overlaps = len(world.monitor.dead_overlaps)
    blow()
    world.run_until(world.now + max(patience_s, lifetime_s) + 2 * KERNEL_LATE_S)
    if in_time and len(world.monitor.dead_overlaps) > overlaps:
        raise Broken(f"at {world.now:.6f} s: {master} was gone, still answered, and another one took its address")


def _stopped(world: World, rng: random.Random, master: Node) -> None:
    _handed_over(world, master, master.stop)


def _asked(world: World, rng: random.Random, master: Node) -> None:
    _handed_over(world, master, master.step_down)


def _promoted(world: World, rng: random.Random, master: Node) -> None:
    """Another one is master from then on, if it can be."""
    others = [n for n in world.nodes if n.alive and n.is_ours and n is not master]
    if not others:
        return
    chosen = rng.choice(others)
    can = chosen.election.promotion_blocker is None
    chosen.promote()
    await_peace(world)
    if chosen.is_master != can:
        raise Broken(f"at {world.now:.6f} s: {chosen} was promoted, and is {chosen.election.state}")


def _restarted(world: World, rng: random.Random, master: Node) -> None:
    """Killed and started again before its lease ends: it bows out for its former self."""

    def blow() -> None:
        master.kill()
        master.boot()

    _handed_over(world, master, blow)


def _demoted(world: World, rng: random.Random, master: Node) -> None:
    _handed_over(world, master, partial(master.demote, 240))
    await_peace(world)
    master.demote(0)


def _handed_over(world: World, master: Node, blow: Callable[[], None]) -> None:
    """A backup has the address at once, without waiting for its patience to end."""
    # A BSD with advbase 0 waits for its timer.
    others = [n for n in world.nodes if n.alive and n is not master and (n.is_ours or n.settings.advbase)]
    # A master that has less patience than the fastest backup's interval would be back at once.
    patience_s = master.shortest_patience_s
    in_turn = all(n.election.interval_s + world.monitor.slack_s < patience_s for n in others)
    blow()
    blown_at = world.now
    world.run_until(blown_at + TAKEOVER_WAIT_MAX_S + world.monitor.takeover_slack_s)
    if world.disturbed_at > blown_at and any(not n.is_ours for n in others):
        # Of two that are equal both may have yielded.
        return
    if others and not any(n.is_master and n.kernel.held for n in world.nodes):
        raise Broken(f"at {world.now:.6f} s: {master} bowed out, and nobody took over")
    if others and in_turn and blow == master.step_down and master.is_master:
        raise Broken(f"at {world.now:.6f} s: {master} was asked to step down, and is back at once")


def _unplugged(world: World, rng: random.Random, master: Node) -> None:
    master.set_link(False)
    world.run_until(world.now + rng.random() * 3 * master.election.master_down_s)
    master.set_link(True)


def _cut_off(world: World, rng: random.Random, master: Node) -> None:
    """Alone on its side of a partition for a while, in one direction or both."""
    ways = [w for w in permutations(range(len(world.nodes)), 2) if master.index in w]
    direction = rng.choice((None, 0, 1))
    world.blocked = {w for w in ways if direction is None or w[direction] == master.index}
    for way in ways:
        world.trouble(*way)
    world.say("cut: {}", sorted(world.blocked))
    world.run_until(world.now + rng.random() * 4 * master.election.master_down_s)
    world.blocked = set()
    world.say("mended")
    for way in ways:
        world.trouble(*way)


_FOR_OURS = (_asked, _stopped, _restarted, _demoted)
"""A BSD may leave in silence, and nobody can ask it to."""
