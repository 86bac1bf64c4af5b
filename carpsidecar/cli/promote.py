"""`carpsidecar promote`: become master now."""

from collections.abc import Sequence

from carpsidecar.cli.command import command, command_parser
from carpsidecar.cli.parser import Parser

_DESCRIPTION = """\
Become master now, although another node is: advertise faster than that one for as long as this node stays master,
or until `carpsidecar step-down`. Refused where that can't be: this node is demoted, or the master can't be outrun.
"""
_EXAMPLES = """\
  carpsidecar promote
  carpsidecar promote web --reason "back in its place"
"""


def parser() -> Parser:
    return command_parser("carpsidecar promote", _DESCRIPTION, _EXAMPLES)


def main(argv: Sequence[str]) -> int:
    return command(parser(), argv)
