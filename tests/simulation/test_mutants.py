"""The simulator can fail: each member with a mistake in it breaks some world before long."""

import pytest

from tests.simulation.many import first_broken, replay_command
from tests.simulation.mutants import MUTANTS, Mutant

SEED = 0
WORLDS = 400
FAR = {"FarewellToAnEqual": 320, "DecidesBeforeItReads": 300, "TakesLateAnswers": 680, "CountsFromTheAnswer": 50}
"""Where to begin with what is seen in few worlds: so many survive it before."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_mistake_is_seen(mutant: Mutant) -> None:
    seed = first_broken(FAR.get(mutant.__name__, SEED), WORLDS, mutant)

    assert seed is not None, f"{mutant.__name__} survives {WORLDS} worlds: {mutant.__doc__}"
    print(replay_command(seed, mutant))
