"""Thousands of worlds of faults: `CARP_SIM_WORLDS` sets how many, `CARP_SIM_SEED` where to begin."""

import os

import pytest

from tests.simulation.many import run
from tests.simulation.scenario import live, make_world

WORLDS = int(os.environ.get("CARP_SIM_WORLDS", "2000"))
SEED = int(os.environ.get("CARP_SIM_SEED", "1"))
SHOWN_MAX = 5


@pytest.mark.timeout(120 + WORLDS // 5)
def test_whatever_befalls_them_the_machines_keep_their_promises() -> None:
    tally = run(SEED, WORLDS)

    print(
        f"{tally.worlds} worlds, {tally.virtual_s / 3600:.0f} hours, "
        f"{tally.deliveries} packets, {tally.transitions} transitions"
    )
    shown = "\n".join(tally.broken[:SHOWN_MAX])
    assert not tally.broken, f"{len(tally.broken)} of {tally.worlds} worlds broke:\n{shown}"
    assert tally.transitions > tally.worlds


def test_a_seed_is_always_the_same_world() -> None:
    first, second = make_world("7"), make_world("7")
    first.story, second.story = [], []

    assert live(first) == live(second)
    assert first.story == second.story
    assert len(first.story) > 10
