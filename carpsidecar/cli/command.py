"""step-down, promote, drain and undrain: the group, the reason, and the answer of each engine."""

import argparse
import sys
from collections.abc import Sequence

from carpsidecar.cli.errors import FAILED, complain
from carpsidecar.cli.parser import Parser

EXIT_STATUS = """\
exit status:
  0    done
  1    refused, or not done in time, or nobody answers
  2    the command line can't be used
"""


def command_parser(program: str, description: str, examples: str) -> Parser:
    made = Parser(prog=program, description=description, epilog=f"{EXIT_STATUS}\nexamples:\n{examples}")
    made.add_argument("group", metavar="GROUP", nargs="?", help="only this group (default: all of this machine)")
    made.add_argument("--reason", metavar="TEXT", default="", type=_reason, help="shown in status, logs and events")
    made.add_argument("--control", metavar="SOCKET", help="ask this socket only")
    return made


def command(parser: Parser, argv: Sequence[str]) -> int:
    """Tell it to the engines, and print a line a group."""
    from pathlib import Path

    from carpsidecar.status.client import NobodyAnswers, ask
    from carpsidecar.status.documents import Done, Request
    from carpsidecar.status.formatting import plain
    from carpsidecar.status.query import no_such_group

    given = parser.read(argv)
    request = Request(type=parser.prog.split()[-1], group=given["group"], reason=given["reason"])  # type: ignore[arg-type]
    try:
        asked = ask(request, Path(given["control"]) if given["control"] is not None else None)
    except NobodyAnswers as error:
        complain(str(error), parser.prog)
        return FAILED
    answers = [heard.answer for heard in asked.heard if isinstance(heard.answer, Done)]
    if not answers:
        complain(no_such_group(asked), parser.prog)
    for one in asked.unreachable:
        complain(f"{one.socket}: {one.why}", parser.prog)
    results = [result for answer in answers for result in answer.results]
    for result in results:
        line = plain(f"{result.group}: {result.text}")
        print(line, file=sys.stdout if result.done else sys.stderr)
    return 0 if answers and not asked.unreachable and all(result.done for result in results) else FAILED


def _reason(text: str) -> str:
    from carpsidecar.ipc.messages import TEXT_MAX

    if not text.isprintable() or len(text) > TEXT_MAX:
        raise argparse.ArgumentTypeError(f"can't be used: give one line of at most {TEXT_MAX} printable characters")
    return text
