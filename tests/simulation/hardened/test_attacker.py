"""Worlds with an attacker: `CARP_ATTACK_WORLDS` sets how many, `CARP_SIM_SEED` where to begin."""

import os
from concurrent.futures import ProcessPoolExecutor

import pytest

from carpsidecar.protocol.packet import Drop
from tests.simulation.hardened.attacker import attack
from tests.simulation.hardened.mutants import MUTANTS, Mutant
from tests.simulation.hardened.world import Violation, World

WORLDS = int(os.environ.get("CARP_ATTACK_WORLDS", "80"))
SEED = int(os.environ.get("CARP_SIM_SEED", "1"))
MUTANT_WORLDS = 200


def broken(seed: int) -> str:
    try:
        attack(World(seed))
    except Violation as violation:
        return f"seed {seed}: {violation}"
    return ""


@pytest.mark.timeout(120 + WORLDS)
def test_no_recording_moves_anything_and_one_master_stands_in_the_end() -> None:
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        violations = [text for text in pool.map(broken, range(SEED, SEED + WORLDS), chunksize=5) if text]

    assert not violations, f"{len(violations)} of {WORLDS} worlds broke:\n" + "\n".join(violations[:5])


def test_the_attacker_meets_every_check() -> None:
    """Else the test above would prove little."""
    worlds = [World(seed) for seed in range(5)]
    for world in worlds:
        attack(world)
    heard = sum((world.heard for world in worlds), start=type(worlds[0].heard)())

    assert all(heard[drop] > 10 for drop in (Drop.REPLAY, Drop.SESSION, Drop.LATE, "believed")), heard


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_mistake_is_found(mutant: Mutant) -> None:
    with mutant():
        found = any(broken(seed) for seed in range(MUTANT_WORLDS))

    assert found, f"{mutant.__name__} survives {MUTANT_WORLDS} worlds: {mutant.__doc__}"


def test_a_seed_is_always_the_same_world() -> None:
    first, second = World(7), World(7)
    attack(first)
    attack(second)

    assert first.recordings == second.recordings
