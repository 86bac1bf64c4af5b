"""Until when a fenced address is to be heard."""

import pytest

from carpsidecar.engine.fencing import live_until


@pytest.mark.parametrize("dead_ratio", [2, 3, 10])
@pytest.mark.parametrize("interval_s", [1 / 256, 2 / 256, 5 / 256, 0.2, 1.0])
def test_a_master_is_heard_between_two_advertisements_and_not_as_long_as_backups_wait(
    interval_s: float, dead_ratio: int
) -> None:
    patience_s = dead_ratio * interval_s
    live_s = live_until(100.0 + patience_s, patience_s) - 100.0
    assert 1.4 * interval_s < live_s < patience_s


def test_the_kernels_tick_fits_between_the_end_and_a_backup_that_takes_over() -> None:
    assert live_until(100.0, patience_s=0.048) == pytest.approx(100.0 - 0.012)
