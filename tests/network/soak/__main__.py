"""The endurance test: `python -m tests.network.soak --minutes 60 --seed N`. Exit status 1 if an invariant broke."""

import argparse
import os
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from carpsidecar.lab.namespace import ensure_privileges
from tests.network.soak.broken import MUTANTS
from tests.network.soak.lab import SoakLab
from tests.network.soak.report import Tally
from tests.network.soak.rounds import Soak
from tests.network.soak.scene import scenes


def soak(minutes: float, seed: int) -> list[Tally]:
    """All scenes at the same time, each in a network of its own."""
    ending = threading.Event()
    with ExitStack() as stack:
        soaks = []
        for scene in scenes():
            rng = random.Random(f"{seed}/{scene.name}")
            soaks.append(Soak(stack.enter_context(SoakLab(scene, rng)), seed, rng, ending))
        with ThreadPoolExecutor(len(soaks)) as pool:
            running = [pool.submit(each.run, minutes) for each in soaks]
            try:
                return [future.result() for future in running]
            finally:
                ending.set()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.network.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, help="of a run whose faults are to be repeated (default: another one)")
    parser.add_argument("--broken", choices=MUTANTS, help="soak a daemon that is broken in this way")
    options = parser.parse_args()
    ensure_privileges()
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    if options.broken:
        os.environ["CARP_SOAK_BREAK"] = options.broken
    print(f"{options.minutes:g} minutes of faults, seed {seed}", flush=True)
    begun = time.monotonic()
    tallies = soak(options.minutes, seed)
    violations = sum(len(tally.violations) for tally in tallies)
    print(f"\n{(time.monotonic() - begun) / 60:.1f} minutes, seed {seed}: {violations} violations")
    print(*tallies, sep="\n")
    return int(violations > 0)


if __name__ == "__main__":
    sys.exit(main())
