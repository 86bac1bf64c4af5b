"""What becomes of a network that is left in peace.

From the last disturbance on (the last lost or late packet, fault, start, wake, demotion), within

    the largest master-down interval + the longest takeover wait (25.5 ms) + two trips and two late timers

(a minute more where somebody demoted himself for a failure, and is to find out that it is over)

exactly one machine holds the address and is master, and it is the right one: no live machine with preempt that was
not asked to step down has a shorter interval, and none finds it too slow. And so it stays: nothing moves any more.
"""

from typing import TYPE_CHECKING

from carpsidecar.member.claim_guard import AGAIN_AFTER_S
from carpsidecar.member.demotions import is_own
from carpsidecar.member.probe import CALIBRATIONS_MAX
from carpsidecar.member.recovery import GAP_MAX_S
from tests.simulation.invariants import Broken
from tests.simulation.world import World
from tests.support.contract import settled_within_s

if TYPE_CHECKING:
    from tests.simulation.node import Node

_ROUNDS_MAX = 40


def bound_s(world: World) -> float:
    return settled_within_s(
        (n.election.master_down_s for n in world.nodes if n.running),
        world.monitor.slack_s + world.monitor.takeover_slack_s,
    )


def window_s(world: World) -> float:
    """Long enough that every master has advertised twice, and every backup knows whom it follows."""
    return 2 * max((n.election.interval_s for n in world.nodes if n.running), default=0.0) + world.monitor.slack_s


def await_peace(world: World) -> "Node | None":
    """Let time pass until all must have settled; check that it has, and that it stays. Returns the master.

    Raises:
        Broken: it has not.
    """
    for _ in range(_ROUNDS_MAX):
        if (at := _settled_at(world)) > world.now:
            world.run_until(at)
            continue
        master = the_master(world)
        transitions, disturbed_at = world.monitor.transitions, world.disturbed_at
        questions = world.monitor.takeovers.questions.copy()
        world.run_until(world.now + window_s(world))
        if world.disturbed_at != disturbed_at:
            continue
        if world.monitor.transitions != transitions:
            raise Broken(f"at {world.now:.6f} s: a transition in a network at peace")
        if max((world.monitor.takeovers.questions - questions).values(), default=0) > CALIBRATIONS_MAX:
            raise Broken(f"at {world.now:.6f} s: somebody asks for the address, and advertisements come on time")
        return master
    raise Broken(f"at {world.now:.6f} s: no peace after {_ROUNDS_MAX} rounds")


def _settled_at(world: World) -> float:
    """Not before the hung wake, and the dead have lost their addresses."""
    unsettled = world.stranger.answers or any(n.hung or (n.kernel.held and not n.running) for n in world.nodes)
    since = world.now if unsettled else world.disturbed_at
    if any(n.running and n.member.holder for n in world.nodes):
        freed_at = max(world.stranger.left_at, *(n.kernel.answered_until for n in world.nodes if not n.is_master))
        since = max(since, freed_at + AGAIN_AFTER_S)
    if any(_concluded(n) for n in world.nodes):
        # The next test may be as far away as tests ever are.
        since = max(since, world.disturbed_at + GAP_MAX_S)
    return since + bound_s(world)


def _concluded(node: "Node") -> list[str]:
    """For what causes it demotes itself that nobody commanded."""
    return [cause for cause in node.member.demotions.amounts if node.alive and is_own(cause)]


def the_master(world: World) -> "Node | None":
    """The one master that there must be.

    Raises:
        Broken: there is none, another one, or more.
    """
    for node in world.nodes:
        if _concluded(node):
            raise Broken(f"at {world.now:.6f} s: {node} is still demoted by {', '.join(_concluded(node))}")
    running = [n for n in world.nodes if n.running]
    masters = [n for n in running if n.is_master]
    holders = [n for n in world.nodes if n.kernel.answers]
    names = ", ".join(map(str, masters)) or "nobody"
    if len(masters) != min(1, len(running)):
        raise Broken(f"at {world.now:.6f} s: of {len(running)} machines at peace, {names} is master")
    if masters != holders:
        raise Broken(f"at {world.now:.6f} s: {names} is master; held by {', '.join(map(str, holders)) or 'nobody'}")
    if not masters:
        return None
    (master,) = masters
    interval_s = master.election.interval_s
    for node in running:
        if node is master or not node.is_ours:
            continue
        may_preempt = not node.stepped_down and node.election.may_preempt
        better = node.settings.preempt and may_preempt and node.election.interval_s < interval_s
        too_slow = node.election.master_down_s < interval_s - world.monitor.slack_s
        if better or too_slow:
            raise Broken(f"at {world.now:.6f} s: {master} is master, and {node} should be")
    return master
