"""`carpsidecar run`: take part in the election."""

import logging
from collections.abc import Sequence

from carpsidecar import logs
from carpsidecar.cli.engine import run_engine
from carpsidecar.cli.flags import PRECEDENCE, add_settings, source_of
from carpsidecar.cli.parser import Parser
from carpsidecar.config.sources import CONFIG_VARIABLE, load
from carpsidecar.linux.capabilities import forbid_core_dumps

_DESCRIPTION = """\
Float an address over machines: the nodes elect a master, which holds it, and when the master goes, another takes
over. Start the same command on every node. A virtual address and a passphrase are all that must be given.
"""

_EPILOG = f"""\
{PRECEDENCE}  0    stopped by TERM or INT
  1    failed to start, or while it ran
  2    the command line or the configuration can't be used

signals:
  TERM, INT  hand over to a backup and stop        USR1  log a status line for each group
  HUP        read the configuration again          USR2  hand over to a backup and go on

example:
  carpsidecar run --vip 192.0.2.100 --vhid 42 --passphrase-file /etc/carp.pass --preempt --advskew 50
"""


def parser() -> Parser:
    options = Parser(prog="carpsidecar run", description=_DESCRIPTION, epilog=_EPILOG)
    add_settings(options)
    return options


def main(argv: Sequence[str]) -> int:
    given = parser().read(argv)
    forbid_core_dumps()
    if given["log_level"] == "debug":
        # So that a traceback is shown even of what goes wrong before the log starts.
        logs.logger.setLevel(logging.DEBUG)
    source = source_of(given)
    config = load(*source)
    writer = logs.start(config.log_format, config.log_level)
    try:
        file = source[2] or source[1].get(CONFIG_VARIABLE)
        return run_engine(config, reload=lambda: load(*source), files=[file] if file else [])
    finally:
        writer.close()
