"""Minutes of random faults (CARP_SOAK_MINUTES, or 5), and no invariant breaks. `make soak` takes an hour."""

import os
import subprocess
import sys

import pytest

MINUTES = float(os.environ.get("CARP_SOAK_MINUTES", "5"))
SEED = os.environ.get("CARP_SOAK_SEED", "7")
"""A fixed one, so that a failure shows a change of ours; `make soak` takes another each time."""


@pytest.mark.soak
@pytest.mark.timeout(MINUTES * 60 + 120)
def test_no_invariant_breaks_under_random_faults() -> None:
    command = [sys.executable, "-u", "-m", "tests.network.soak", "--minutes", str(MINUTES), "--seed", SEED]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as soak:
        try:
            output, _ = soak.communicate()
        finally:
            # It takes its namespaces down when it is asked to end.
            soak.terminate()
    print(output)
    assert soak.returncode == 0, output
    assert ": 0 violations" in output
