"""`python -m bench [--quick] [--json FILE]`."""

import argparse
import json
import platform
from dataclasses import asdict
from pathlib import Path

from bench import packets, process
from bench.result import HEADER


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, three minutes at most")
    parser.add_argument("--json", type=Path, help="write the numbers there too")
    options = parser.parse_args()
    results = packets.measure() + process.measure(
        seconds=10 if options.quick else 60, starts=5 if options.quick else 20
    )
    print(f"Linux {platform.release()}, Python {platform.python_version()}\n")
    print(HEADER)
    for result in results:
        print(result.row())
    if options.json:
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")


if __name__ == "__main__":
    main()
