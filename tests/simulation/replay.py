"""Tell the story of one world: `.venv/bin/python -m tests.simulation.replay SEED [MUTANT]`."""

import sys

from tests.simulation.invariants import Broken
from tests.simulation.mutants import MUTANTS
from tests.simulation.scenario import live, make_world


def main(arguments: list[str]) -> int:
    named = {mutant.__name__: mutant for mutant in MUTANTS}
    if not 1 <= len(arguments) <= 2 or any(name not in named for name in arguments[1:]):
        print(__doc__, f"Mutants: {', '.join(named)}", sep="\n", file=sys.stderr)
        return 2
    seed, mutant = arguments[0], named[arguments[1]] if arguments[1:] else None
    world = make_world(seed, mutant)
    world.story = []
    try:
        outcome: object = live(world)
    except Broken as broken:
        outcome = broken
    finally:
        print("\n".join(world.story))
    print(f"\nseed {seed}: {outcome}")
    return isinstance(outcome, Broken)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
