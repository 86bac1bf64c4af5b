"""`carpsidecar step-down`: hand the address over, once, to a backup."""

from collections.abc import Sequence

from carpsidecar.cli.command import command, command_parser
from carpsidecar.cli.parser import Parser

_DESCRIPTION = """\
Hand over to a backup, once: this node becomes a backup, and does not preempt whoever took over. It also ends a
promotion. The address is without an answer for milliseconds only.
"""
_EXAMPLES = """\
  carpsidecar step-down
  carpsidecar step-down web --reason "disk swap"
"""


def parser() -> Parser:
    return command_parser("carpsidecar step-down", _DESCRIPTION, _EXAMPLES)


def main(argv: Sequence[str]) -> int:
    return command(parser(), argv)
