"""`carpsidecar reporter`: what the engine, or the chart, starts to face people and the cluster.

`reporter DESCRIPTOR [UID:GID] [PART...]` starts the reporters of the engine at the other end of this socket, one
after the other, as this user. `reporter --socket PATH` is one itself, for an engine in another container that runs
with `--reporter-socket PATH`; root becomes the reporter's user first.

Signals are for the engine, which hands over first, and then closes the other end.
"""

import signal
import socket
from collections.abc import Sequence

from carpsidecar.cli.errors import MISUSED, complain
from carpsidecar.ipc.credentials import reporter_ids
from carpsidecar.linux.capabilities import become, keep_only, missing

_ENGINES = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def main(argv: Sequence[str]) -> int:
    if len(argv) == 2 and argv[0] == "--socket":
        return _connected(argv[1])
    for number in _ENGINES:
        signal.signal(number, signal.SIG_IGN)
    from carpsidecar.reporter.starter import PARTS, load, run

    try:
        descriptor, user, *parts = argv
        connection = socket.socket(fileno=int(descriptor))
        uid_and_gid = [int(number) for number in user.split(":")] if user else []
    except (ValueError, OSError):
        complain("the engine starts the reporter: see carpsidecar run --help")
        return MISUSED
    load([part for part in parts if part in PARTS])
    if uid_and_gid:
        become(*uid_and_gid)
    else:
        keep_only((), bounding=True)
    return run(connection)


def _connected(path: str) -> int:
    from carpsidecar.reporter.connected import run
    from carpsidecar.reporter.starter import PARTS, load

    if missing(("CAP_SETUID", "CAP_SETGID")):
        keep_only((), bounding=True)
    else:
        load(list(PARTS))
        become(*reporter_ids())
    return run(path)
