"""`carpsidecar doctor`: what is wrong on this machine and on the wire, and how to mend it."""

import argparse
import json
import sys
from collections.abc import Sequence

from carpsidecar.cli.errors import FAILED, complain
from carpsidecar.cli.flags import PRECEDENCE, add_settings, source_of
from carpsidecar.cli.parser import Parser
from carpsidecar.cli.running import load_given_or_running
from carpsidecar.cli.terminal import takes_colour, width
from carpsidecar.linux.capabilities import forbid_core_dumps

_PROGRAM = "carpsidecar doctor"
LISTEN_MAX_S = 3600.0
_DESCRIPTION = """\
Look for what keeps the group from working: rights, interface, kernel settings, firewall, commands, peers, digests,
numbers, and who holds the address. Where an engine runs on this machine, it takes that one's configuration; else
give it the settings of `carpsidecar run`. It disturbs nobody: it sends no advertisement and claims no address.
"""
_EPILOG = f"""\
{PRECEDENCE}  0    no problem, though perhaps warnings
  1    a problem was found: each says what to do
  2    the command line or the configuration can't be used

examples:
  carpsidecar doctor
  carpsidecar doctor --config /etc/carpsidecar.yaml
  carpsidecar doctor --vip 192.0.2.100 --passphrase-file /etc/carp.pass --listen 10 --json
"""


def parser() -> Parser:
    options = Parser(prog=_PROGRAM, description=_DESCRIPTION, epilog=_EPILOG)
    options.add_argument("--json", action="store_true", help="print one JSON object")
    options.add_argument(
        "--listen",
        metavar="SECONDS",
        type=_seconds,
        help="how long to listen on each interface (default: 3 x (advbase + 1))",
    )
    add_settings(options)
    return options


def main(argv: Sequence[str]) -> int:
    given = parser().read(argv)
    forbid_core_dumps()
    as_json, listen_s = given.pop("json"), given.pop("listen")
    config = load_given_or_running(*source_of(given))
    # Late, so that a configuration that can't be used is reported at once.
    from carpsidecar.doctor.findings import document, exit_status, table
    from carpsidecar.doctor.run import default_listen_s, run_checks

    def progress(text: str) -> None:
        print(f"{_PROGRAM}: {text}", file=sys.stderr)

    try:
        findings = run_checks(config, default_listen_s(config) if listen_s is None else listen_s, progress)
    except OSError as error:
        complain(f"the kernel can't be asked: {error.strerror or error}", _PROGRAM)
        return FAILED
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    if as_json:
        print(json.dumps(document(findings), indent=2))
    else:
        for line in table(findings, colour=takes_colour(), width=width()):
            print(line)
    return exit_status(findings)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= LISTEN_MAX_S:
        raise argparse.ArgumentTypeError(f"{text!r} can't be used: give seconds, at most {LISTEN_MAX_S:g}")
    return value
