"""`python -m bench [--quick] [NAME...]`: measure this machine, and write docs/benchmark.md.

A quick run says its numbers and keeps them under build/, since they are not good enough to be shown to others.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Callable
from importlib import import_module

from bench import page
from bench.section import Section

_MODULES = {
    "failover": "bench.failover_report",
    "floor": "bench.floor",
    "process": "bench.process",
    "packets": "bench.packets",
    "stability": "bench.stability",
    "loss": "bench.loss",
    "attack": "bench.attack",
    "scale": "bench.scale",
    "services": "bench.services",
    "kubernetes": "bench.kubernetes",
    "cluster": "bench.cluster",
}
"""In the page's order; each has `section(quick: bool) -> Section`."""

_QUICK = ("failover", "process", "packets")
"""What fits into three minutes."""


def main() -> int:
    options = _options()
    names = options.names or list(_QUICK if options.quick else _MODULES)
    to = page.ROOT / "build" if options.quick else page.DOCS
    command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    for name in names:
        measure = _measure(name)
        extra = {}
        if name == "failover":
            extra = {"rounds": options.rounds, "faults": options.faults, "systems": options.systems}
        load, started = page.load(), time.monotonic()
        section = measure(options.quick, **extra)
        took_s = time.monotonic() - started
        print(f"\n## {section.title} ({took_s:.0f} s)\n\n{section.body}\n", flush=True)
        page.write(name, section, command, load, took_s, to)
        for summary in () if options.quick else section.summaries:
            page.write_summary(summary)
    page.write_page(list(_MODULES), to)
    print(f"written: {to / 'benchmark.md'}", file=sys.stderr)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of {', '.join(_MODULES)}; all of them if none"
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds of less; three minutes at most in all")
    failover = parser.add_argument_group("failover")
    failover.add_argument("--rounds", type=int, default=0)
    failover.add_argument("--faults", type=_keys, default=(), metavar="KEY,...", help="only these")
    failover.add_argument("--systems", type=_keys, default=(), metavar="KEY,...", help="only these")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in _MODULES]
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are: {', '.join(_MODULES)}")
    return options


def _keys(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _measure(name: str) -> Callable[..., Section]:
    measure: Callable[..., Section] = import_module(_MODULES[name]).section
    return measure


if __name__ == "__main__":
    raise SystemExit(main())
