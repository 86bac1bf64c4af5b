"""`carpsidecar step-down`, `promote`, `drain` and `undrain`: commands to the engines of this machine."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from carpsidecar.cli.errors import FAILED, complain
from carpsidecar.cli.parser import Parser

if TYPE_CHECKING:
    from carpsidecar.status.requests import CommandName

_EPILOG = """\
exit status:
  0    done
  1    refused, or not done in time, or no engine replies
  2    the command line can't be used

examples:
"""


class _Verb(NamedTuple):
    description: str
    examples: tuple[str, ...]


VERBS: "dict[CommandName, _Verb]" = {
    "step-down": _Verb(
        """\
Hand over to a backup, once: this node becomes a backup, and does not preempt whoever took over. It also ends a
promotion. The address is without an answer for milliseconds only.
""",
        ("", '--group web --reason "disk swap"'),
    ),
    "promote": _Verb(
        """\
Become master now, although another node is: advertise faster than that one for as long as this node stays master,
or until `carpsidecar step-down`. Refused where that can't be: this node is demoted, or the master can't be outrun.
""",
        ("", '--group web --reason "back in its place"'),
    ),
    "drain": _Verb(
        """\
Hand over, and be the last to take the address from now on, also after a restart of the program or of the machine,
until `carpsidecar undrain`. Where no other node is there, this one still takes it.
""",
        ('--reason "kernel update"', "--group web"),
    ),
    "undrain": _Verb("Take part again as before `carpsidecar drain`.\n", ("", "--group web")),
}


def parser(verb: "CommandName") -> Parser:
    program = f"carpsidecar {verb}"
    description, examples = VERBS[verb]
    epilog = _EPILOG + "".join(f"  {f'{program} {example}'.rstrip()}\n" for example in examples)
    made = Parser(prog=program, description=description, epilog=epilog)
    add_group(made, "only this group (default: all of this machine)")
    made.add_argument("--reason", metavar="TEXT", default="", type=_reason, help="shown in status, logs and events")
    made.add_argument("--control", metavar="SOCKET", help="use this socket only")
    return made


def add_group(parser: Parser, text: str) -> None:
    """A group, by `--group` or as the one argument; `group_of` reads it."""
    parser.add_argument("group", metavar="GROUP", nargs="?", help=text)
    parser.add_argument("--group", metavar="GROUP", dest="group_option", help="the same")


def group_of(given: dict[str, Any], parser: Parser) -> str | None:
    if given["group"] is not None and given["group_option"] is not None:
        parser.error("--group: a group is given twice")
    group: str | None = given["group_option"] if given["group"] is None else given["group"]
    return group


def main(argv: Sequence[str], verb: "CommandName") -> int:
    """Send it to the engines, and print a line a group."""
    from pathlib import Path

    from carpsidecar.status.client import NoEngine, send
    from carpsidecar.status.formatting import plain
    from carpsidecar.status.query import no_such_group
    from carpsidecar.status.requests import Done, Request

    arguments = parser(verb)
    given = arguments.read(argv)
    request = Request(type=verb, group=group_of(given, arguments), reason=given["reason"])
    try:
        replies = send(request, Path(given["control"]) if given["control"] is not None else None)
    except NoEngine as error:
        complain(str(error), arguments.prog)
        return FAILED
    answers = [reply.answer for reply in replies.replies if isinstance(reply.answer, Done)]
    if not answers:
        complain(no_such_group(replies), arguments.prog)
    for one in replies.unreachable:
        complain(f"{one.socket}: {one.why}", arguments.prog)
    results = [result for answer in answers for result in answer.results]
    for result in results:
        line = plain(f"{result.group}: {result.text}")
        print(line, file=sys.stdout if result.done else sys.stderr)
    return 0 if answers and not replies.unreachable and all(result.done for result in results) else FAILED


def _reason(text: str) -> str:
    from carpsidecar.ipc.messages import TEXT_MAX

    if not text.isprintable() or len(text) > TEXT_MAX:
        raise argparse.ArgumentTypeError(f"can't be used: give one line of at most {TEXT_MAX} printable characters")
    return text
