"""Minutes of random faults (CARP_SOAK_MINUTES, or 5), and no invariant breaks. `make soak` takes an hour."""

import pytest

from tests.network.soak.conftest import MINUTES, Soak


@pytest.mark.soak
@pytest.mark.timeout(MINUTES * 60 + 120)
def test_no_invariant_breaks_under_random_faults(soak: Soak) -> None:
    status, output = soak.result()
    print(output)
    assert status == 0, output
    assert ": 0 violations" in output
