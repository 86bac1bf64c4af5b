"""Minutes of random faults (CARP_SOAK_MINUTES, 5 if not given), and no invariant breaks. `make soak` runs longer."""

import os
import random

import pytest

from tests.network.soak.__main__ import soak

MINUTES = float(os.environ.get("CARP_SOAK_MINUTES", "5"))


@pytest.mark.timeout(MINUTES * 60 + 120)
def test_no_invariant_breaks_under_random_faults() -> None:
    seed = int(os.environ.get("CARP_SOAK_SEED") or random.SystemRandom().randrange(1 << 32))
    tallies = soak(MINUTES, seed)
    print(*tallies, sep="\n")
    assert not [violation for tally in tallies for violation in tally.violations], f"seed {seed}"
    assert all(tally.rounds for tally in tallies)
