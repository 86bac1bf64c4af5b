"""What happens in a world: faults, and an attacker who tries each of his tricks at each of the right moments."""

from carpsidecar.protocol.hardened_packet import Kind
from tests.simulation.hardened.node import Node
from tests.simulation.hardened.world import Recording, World

ROUNDS = 12


def attack(world: World) -> None:
    """Start, trouble, attacks; and the end, in which the attacker goes on."""
    rng = world.rng
    for node in world.nodes:
        world.at(rng.choice((0.0, rng.uniform(0, 4))), lambda node=node: node.start(world.now))  # type: ignore[misc]
    world.run(rng.uniform(1, 8))
    for _ in range(ROUNDS):
        _trouble(world)
        _play_something(world)
        world.run(world.now + rng.choice((0.05, 0.5, rng.uniform(0, 6))))
    world.run(world.now + 32)
    for node in world.nodes:
        if not node.alive and node not in world.removed:
            node.start(world.now)
    _keep_playing(world, world.now + 28)
    world.settle()


def _trouble(world: World) -> None:
    rng = world.rng
    node = rng.choice(world.nodes)
    match rng.randrange(13):
        case 0:
            world.partition(rng.choice((0.5, 3.0, 8.0, 20.0)))
        case 1 | 2:
            pause_s = rng.choice((0.02, 0.2, 0.7, 2.0, 10.0))
            world.restart(node, pause_s, rng.choice(("stop", "kill", "power")))
            _welcome(world, node, world.now + pause_s)
        case 3:
            # All at once, and nobody remembers anything.
            for one in world.nodes:
                world.restart(one, rng.choice((0.1, 0.1, 3.0)), rng.choice(("stop", "kill", "power")))
        case 4:
            duration_s = rng.choice((0.3, 1.5, 6.0, 30.0))
            world.stall(node, duration_s)
            _welcome(world, node, world.now + duration_s)
        case 5:
            # The master dies behind a partition that outlives it.
            for one in world.nodes:
                if one.is_master:
                    world.partition(6.0)
                    world.at(world.now + rng.uniform(0.1, 5), lambda one=one: world.restart(one, 9.0, "power"))  # type: ignore[misc]
        case 6:
            world.step_clock(node, rng.choice((0.3, 1.0, 2.5, 60.0, 4000.0, 1e6 * rng.random())))
        case 7:
            if node.alive and world.now >= node.runs_at:
                node.step_down(world.now)
        case 8:
            if node.alive and world.now >= node.runs_at:
                node.reload(world.now)
        case 9:
            world.partition(8.0)
            world.tunnel(node, rng.choice(world.nodes), rng.choice((2.0, 20.0)))
        case 10:
            if world.freezes:
                duration_s = rng.choice((0.5, 4.0, 20.0))
                world.freeze(node, duration_s)
                _welcome(world, node, world.now + duration_s)
        case 11:
            # It leaves for good, and only recordings of it are left.
            if not world.removed and len(world.nodes) > 2 and node.alive and not node.frozen:
                world.removed.add(node)
                world.restart(node, 0.0, rng.choice(("stop", "kill", "power")))
        case _:
            pass


def _welcome(world: World, node: Node, when: float) -> None:
    """Answer a node that has just started, or woken, with all kinds of packets."""
    rng = world.rng

    def play() -> None:
        if not world.recordings:
            return
        chosen = rng.sample(world.recordings, min(20, len(world.recordings)))
        chosen += world.recordings[-20:]
        chosen += [one for one in world.recordings[-400:] if one.kind == Kind.ANSWER][-10:]
        for one in chosen:
            world.deliver(node, one, world.now + rng.uniform(0, 0.3))

    world.at(when + 1e-3, play)
    world.at(when + 0.3, play)


def _play_something(world: World) -> None:
    rng = world.rng
    if not world.recordings:
        return
    to = rng.choice(world.nodes)
    match rng.randrange(12):
        case 0:
            # Anything to anyone, in a burst.
            for one in rng.choices(world.recordings, k=40):
                world.deliver(rng.choice(world.nodes), one, world.now + rng.uniform(0, 1))
        case 1:
            _stream(world, to, rng.choice(world.recordings), rng.choice((0.5, 1.0, 1.0, 0.25, 4.0)))
        case 2:
            # What was sent just now, held back for a while: answers that come late among them.
            for one in world.recordings[-30:]:
                world.deliver(to, one, world.now + rng.choice((0.3, 0.9, 1.2, 2.5, 5.0)))
        case 3 | 9:
            _hold_answers_back(world)
        case 10:
            _deceive_who_wakes(world)
        case 4:
            # Every bow-out that there ever was.
            for one in world.recordings:
                if one.kind == Kind.ADVERTISEMENT and one.payload[4:6] == b"\xff\xff":
                    world.deliver(to, one, world.now + rng.uniform(0, 0.5))
        case 5:
            # What one said, as if another had said it.
            for one in rng.choices(world.recordings, k=20):
                disguised = one._replace(source=rng.choice(rng.choice(world.nodes).sources))
                if disguised.source != one.source:
                    world.deliver(to, disguised, world.now + rng.uniform(0, 1))
        case 6:
            # Every question that there ever was.
            for one in world.recordings:
                if one.kind == Kind.SOLICITATION:
                    for other in world.nodes:
                        world.deliver(other, one, world.now + rng.uniform(0, 0.5))
        case 7:
            # All that those have said who are not there to deny it.
            absent = {node.number for node in world.nodes if not node.alive}
            for one in [one for one in world.recordings if one.node in absent][-200:]:
                world.deliver(to, one, world.now + rng.uniform(0, 2))
        case _:
            # What the other side of a partition, or one who is dead now, said last, at its own pace.
            _stream(world, to, world.recordings[-rng.randint(1, min(60, len(world.recordings)))], 1.0)


def _stream(world: World, to: Node, first: Recording, pace: float) -> None:
    """From this packet on what its sender sent in 30 s, faster or slower."""
    for one in world.recordings:
        after_s = one.signed_s - first.signed_s
        if one.node == first.node and 0 <= after_s < 30:
            world.deliver(to, one, world.now + after_s / pace)


def _hold_answers_back(world: World) -> None:
    """A node restarts while a nonce lives, and its former self's answer comes after its own."""
    rng = world.rng
    if len(world.nodes) < 2:
        return
    asking, answering = rng.sample(world.nodes, 2)
    world.stall(asking, 0.01)
    world.restart(answering, rng.uniform(0.05, 0.3), rng.choice(("stop", "kill")))
    began = len(world.recordings)

    def play() -> None:
        for one in world.recordings[max(0, began - 5) :]:
            if one.node == answering.number:
                world.deliver(asking, one, world.now)

    for after_s in (0.15, 0.4, 0.6, 0.9, 1.1, 1.6):
        world.at(world.now + after_s, play)


def _deceive_who_wakes(world: World) -> None:
    """A node stalls, another is lost meanwhile, and its last words are played to the first one when that wakes."""
    rng = world.rng
    sleeper, lost = rng.sample(world.nodes, 2)
    duration_s = rng.uniform(5, 12)
    began = len(world.recordings)
    world.stall(sleeper, duration_s)
    world.at(world.now + 0.9 * duration_s, lambda: world.restart(lost, 9.0, "power"))

    def play() -> None:
        for one in world.recordings[began:]:
            if one.node == lost.number:
                world.deliver(sleeper, one, world.now)

    world.at(world.now + duration_s + 0.05, play)


def _keep_playing(world: World, until: float) -> None:
    when = world.now
    while when < until:
        world.at(when, lambda: _play_something_harmless_or_not(world))
        when += world.rng.uniform(0.1, 2)


def _play_something_harmless_or_not(world: World) -> None:
    """In the end no node is touched any more: only recordings."""
    rng = world.rng
    to = rng.choice(world.nodes)
    if rng.random() < 0.5:
        for one in rng.choices(world.recordings, k=20):
            world.deliver(to, one, world.now + rng.uniform(0, 0.5))
    else:
        _stream(world, to, rng.choice(world.recordings), 1.0)
