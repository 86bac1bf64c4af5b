"""What the tests of real-time priority share."""

import os
import subprocess

import pytest

REALTIME = os.SCHED_RR | os.SCHED_RESET_ON_FORK


def can_be_had() -> bool:
    return subprocess.run(["chrt", "-r", "1", "true"], capture_output=True, check=False).returncode == 0


needs_realtime = pytest.mark.skipif(
    not can_be_had(), reason="this kernel or container gives no real-time priority: `chrt -r 1 true` fails"
)
