"""`carpsidecar status`: who is master, since when and why, and whether the kernel agrees."""

import signal
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from carpsidecar.cli.command import add_group, group_of
from carpsidecar.cli.errors import complain
from carpsidecar.cli.parser import Parser
from carpsidecar.cli.terminal import draw, full_screen, takes_colour, width

if TYPE_CHECKING:
    from carpsidecar.status.model import StatusDocument

_PROGRAM = "carpsidecar status"
WATCH_EACH_S = 1.0
_WIDTH = 80
"""Of the lines, where there is no terminal."""
_DESCRIPTION = """\
Show each group that a carpsidecar of this machine serves: role, since when and why, addresses and whether the
kernel has them, master, peers and counters. It queries the control sockets in /run/carpsidecar.
"""
_EPILOG = """\
exit status:
  0    all well
  1    no engine replies
  2    the command line can't be used
  3    a group has no master: none is heard, and none is here
  4    a fault: a group is in fault, the engine is silent, or the kernel lacks an address of a master

examples:
  carpsidecar status
  carpsidecar status vhid-100 --watch
  carpsidecar status --json
"""


def parser() -> Parser:
    made = Parser(prog=_PROGRAM, description=_DESCRIPTION, epilog=_EPILOG)
    add_group(made, "only this group, and all that is known of it")
    made.add_argument("--json", action="store_true", help="print one JSON object (with --watch, one a line)")
    made.add_argument("--watch", action="store_true", help="show it again each second, until Ctrl-C")
    made.add_argument("--control", metavar="SOCKET", help="use this socket only")
    return made


def main(argv: Sequence[str]) -> int:
    arguments = parser()
    given = arguments.read(argv)
    given["group"] = group_of(given, arguments)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    if given["watch"]:
        return _watch(given)
    document, problem = _query(given)
    if problem:
        complain(problem, _PROGRAM)
    if given["json"] or not problem:
        print("\n".join(_lines(document, given)))
    return document.exit_status


def _watch(given: dict[str, Any]) -> int:
    terminal = sys.stdout.isatty() and not given["json"]
    due = time.monotonic()
    # However it is ended, the terminal is to look as before.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with full_screen() if terminal else nullcontext():
            while True:
                document, problem = _query(given)
                lines = [f"{_PROGRAM}: {problem}"] if problem and not given["json"] else _lines(document, given)
                draw(lines) if terminal else print("\n".join(lines), flush=True)
                due = max(due + WATCH_EACH_S, time.monotonic())
                time.sleep(max(0.0, due - time.monotonic()))
    except KeyboardInterrupt:
        return 0


def _query(given: dict[str, Any]) -> "tuple[StatusDocument, str]":
    """What there is; and why there is nothing."""
    from carpsidecar.status.model import StatusDocument
    from carpsidecar.status.query import NoStatus, query

    try:
        return query(given["group"], given["control"]), ""
    except NoStatus as error:
        return StatusDocument(exit_status=1, engines=[], unreachable=error.unreachable), str(error)


def _lines(document: "StatusDocument", given: dict[str, Any]) -> list[str]:
    if given["json"]:
        import msgspec

        text = msgspec.json.encode(document)
        return [(text if given["watch"] else msgspec.json.format(text)).decode()]
    from carpsidecar.cli.status_table import Table

    table = Table(width=width() or _WIDTH, colour=takes_colour())
    return list(table.lines(document.engines, document.unreachable, given["group"] is not None))
