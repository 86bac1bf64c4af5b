"""What all tests rely on."""

import subprocess
import sys

SHOW = """
import subprocess
from tests.support.signals import unignore
unignore()
print(subprocess.run(["grep", "SigIgn", "/proc/self/status"], capture_output=True, text=True).stdout)
"""
HUP_INT_QUIT = 0b111


def test_programs_under_test_ignore_no_signal_that_the_tests_were_started_to_ignore() -> None:
    for shell in (f"exec {sys.executable} -c '{SHOW}'", f"trap '' HUP INT QUIT; exec {sys.executable} -c '{SHOW}'"):
        shown = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout
        assert int(shown.split()[1], 16) & HUP_INT_QUIT == 0, shell
