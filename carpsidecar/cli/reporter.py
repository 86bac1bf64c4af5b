"""`carpsidecar reporter DESCRIPTOR`: the engine starts it with one end of a socket pair; it is not for people.

Privileges go before anything is imported. Signals are for the engine, which hands over first, and then closes the
other end.
"""

import signal
import socket
from collections.abc import Sequence

from carpsidecar.cli.errors import MISUSED, complain
from carpsidecar.linux.capabilities import keep_only

_ENGINES = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def main(argv: Sequence[str]) -> int:
    keep_only((), bounding=True)
    for number in _ENGINES:
        signal.signal(number, signal.SIG_IGN)
    try:
        (descriptor,) = argv
        connection = socket.socket(fileno=int(descriptor))
    except (ValueError, OSError):
        complain("the engine starts the reporter: see carpsidecar run --help")
        return MISUSED
    from carpsidecar.reporter.process import run

    return run(connection)
