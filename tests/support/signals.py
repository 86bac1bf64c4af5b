"""A program under test begins with the signals that a terminal would give it, however the tests were started.

`nohup` ignores HUP, and a script's `&` ignores INT and QUIT; whoever is started inherits that. A signal that is
handled, be it by nothing, is the default one again in a program that is started.
"""

import os
import signal


def unignore() -> None:
    """Call it before anything is started. A HUP still ends no run of the tests that `nohup` protects."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    # A worker of xdist ends with the process that started it, which knows whether it was protected.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN or "PYTEST_XDIST_WORKER" in os.environ:
        signal.signal(signal.SIGHUP, lambda number, frame: None)
