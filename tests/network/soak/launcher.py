"""Our daemon with a wall clock that can be set: `python -m tests.network.soak.launcher CLOCK_FILE run OPTION...`.

CLOCK_FILE holds what is added to the true time, in nanoseconds: a machine has one wall clock, and others use it.
The stamps of log lines stay true, for whoever reads them beside the other nodes'. With CARP_SOAK_BREAK in the
environment the daemon is one of those in `broken`.
"""

import logging
import os
import sys
import time
from types import SimpleNamespace


def set_clock_by(file: str) -> None:
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    true_ns = time.time_ns

    def false_ns() -> int:
        return true_ns() + int(os.pread(descriptor, 32, 0) or b"0")

    logging.time = SimpleNamespace(**vars(time))  # type: ignore[attr-defined]
    time.time_ns = false_ns
    time.time = lambda: false_ns() / 1e9


if __name__ == "__main__":
    set_clock_by(sys.argv[1])
    if mutant := os.environ.get("CARP_SOAK_BREAK"):
        from tests.network.soak import broken

        broken.MUTANTS[mutant]()
    from carpsidecar.cli import main

    sys.exit(main(sys.argv[2:]))
