"""How long this machine itself keeps a process waiting: a virtual one is now and then not run by its host.

`python -m bench.machine_timer PROCESSOR SECONDS` has real-time priority on one processor, does nothing but wait for
its timer, and prints by how many seconds that was late at most.
"""

import os
import sys
import time

from carpsidecar.linux import realtime

_EVERY_S = 0.004


def main() -> None:
    processor, seconds = int(sys.argv[1]), float(sys.argv[2])
    os.sched_setaffinity(0, {processor})
    if refused := realtime.take():
        raise SystemExit(f"no real-time priority: {refused}")
    late_most_s = 0.0
    now = time.monotonic()
    end = now + seconds
    while now < end:
        due = now + _EVERY_S
        time.sleep(_EVERY_S)
        now = time.monotonic()
        late_most_s = max(late_most_s, now - due)
    print(late_most_s)


if __name__ == "__main__":
    main()
