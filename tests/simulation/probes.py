"""One fault in a network at peace, with the promise that goes with it."""

import random
from collections.abc import Callable
from functools import partial
from itertools import permutations

from carpsidecar.member.probe import (
    CALIBRATIONS_MAX,
    HELD_GAPS,
    OVERDUE_MAX_S,
    OVERDUE_MIN_S,
    OVERDUE_PART,
    QUESTIONS,
)
from carpsidecar.member.takeover import CLAIM_S
from carpsidecar.protocol.timing import lease_lifetime_s
from tests.simulation.invariants import Broken
from tests.simulation.kernel import fence_ends_in_time
from tests.simulation.node import Node
from tests.simulation.peace import await_peace
from tests.simulation.world import World
from tests.support.contract import KERNEL_LATE_S, TAKEOVER_WAIT_MAX_S, TIMERS_OF_A_TAKEOVER, outlives_its_lease

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
        _lost,
        _occupied,
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
        # Another one that held it for a moment may have been taken for a master that nobody hears answer.
        in_time = not master.unheard and fence_ends_in_time(patience_s, master.election.master_down_s)
    else:
        # Since the last advertisement: the last renewal that is needed so that no lease ends before the next one.
        renewed_s = max(0.0, master.election.interval_s - RENEWED_PART * lifetime_s)
        in_time = not master.unheard and renewed_s <= RENEWED_PART * lifetime_s
        in_time = in_time and outlives_its_lease(patience_s - renewed_s, lifetime_s)
    overlaps = len(world.monitor.dead_overlaps)
    probers = _probers(world, master)
    blow()
    _found_gone_when_silent(world, master, probers)
    world.run_until(world.now + max(patience_s, lifetime_s) + 2 * KERNEL_LATE_S)
    if in_time and len(world.monitor.dead_overlaps) > overlaps:
        raise Broken(f"at {world.now:.6f} s: {master} was gone, still answered, and another one took its address")


def _lost(world: World, rng: random.Random, master: Node) -> None:
    """The whole machine, and nobody answers any more."""
    probers = _probers(world, master)
    master.power_off()
    _found_gone_when_silent(world, master, probers)


def _probers(world: World, master: Node) -> list[Node]:
    """Whose master has answered a question, or should have."""
    others = [n for n in world.nodes if n.alive and n.is_ours and n is not master]
    fine = [n for n in others if _in_touch_s(world, n, master) > (CALIBRATIONS_MAX + 1) * master.advertises_every_s]
    return [] if master.unheard else fine


def _in_touch_s(world: World, node: Node, master: Node) -> float:
    """For how long it has been backup of this very master, if no packet between them ever fared badly since."""
    since = max(master.master_since, node.booted_at)
    trouble = max(world.trouble_since(node, master), world.trouble_since(master, node))
    return world.now - since if trouble < since else 0.0


def _found_gone_when_silent(world: World, master: Node, probers: list[Node]) -> None:
    """As soon as its kernel answers no more, all their questions need not be waited for longer than they take."""
    if not probers:
        return
    every_s = master.advertises_every_s
    overdue_at = master.advertised_at + every_s + min(max(OVERDUE_PART * every_s, OVERDUE_MIN_S), OVERDUE_MAX_S)
    gap_s = max(node.member.takeover.probe.gap_s for node in probers)
    found_s = (HELD_GAPS + QUESTIONS + 1) * gap_s + 2 * TAKEOVER_WAIT_MAX_S + 3 * world.monitor.takeover_slack_s
    world.run_until(max(world.now, overdue_at))
    while master.kernel.answers and not master.alive:
        world.run_until(world.now + gap_s)
    world.run_until(max(world.now, overdue_at) + found_s)
    # Of two that are equal, and one of them a BSD, both may have yielded.
    ours_alone = all(n.is_ours for n in world.nodes if n.alive)
    if ours_alone and not master.alive and not any(n.is_master for n in world.nodes):
        raise Broken(f"at {world.now:.6f} s: nobody answers for the address of {master}, and nobody took it")


def _occupied(world: World, rng: random.Random, master: Node) -> None:
    """Lost, and somebody else has the address before a backup does: it is taken when that one lets it go."""
    world.stranger.come()
    master.power_off()
    world.run_until(world.now + 2 * max(n.election.master_down_s for n in world.nodes))
    world.stranger.leave()


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

    # While the kernel has not answered it, the process that was killed is not gone.
    if not master.renewing:
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
    backups = [n for n in world.nodes if n.alive and n is not master]
    ours_alone = all(n.is_ours and not n.stepped_down for n in backups)
    one_pace = ours_alone and len({n.settings.advbase for n in others}) == 1
    # A claim has to arrive before it is over.
    hear_in_time = 2 * world.calm.delay_max_s + TIMERS_OF_A_TAKEOVER * world.latency_s < CLAIM_S
    terms = {n.index: n.master_since for n in others}
    blow()
    blown_at = world.now
    world.run_until(blown_at + TAKEOVER_WAIT_MAX_S + world.monitor.takeover_slack_s)
    if any(not n.is_ours for n in backups):
        # Of two that are equal both may have yielded.
        return
    if others and not any(n.is_master and n.kernel.held for n in world.nodes):
        raise Broken(f"at {world.now:.6f} s: {master} bowed out, and nobody took over")
    successors = sum(n.master_since > terms[n.index] for n in others)
    if one_pace and hear_in_time and successors > 1:
        raise Broken(f"at {world.now:.6f} s: {master} bowed out, and {successors} took over")
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
