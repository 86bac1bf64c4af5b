"""`carpsidecar drain`: keep the address away from this machine."""

from collections.abc import Sequence

from carpsidecar.cli.command import command, command_parser
from carpsidecar.cli.parser import Parser

_DESCRIPTION = """\
Hand over, and be the last to take the address from now on, also after a restart of the program or of the machine,
until `carpsidecar undrain`. Where no other node is there, this one still takes it.
"""
_EXAMPLES = """\
  carpsidecar drain --reason "kernel update"
  carpsidecar drain web
"""


def parser() -> Parser:
    return command_parser("carpsidecar drain", _DESCRIPTION, _EXAMPLES)


def main(argv: Sequence[str]) -> int:
    return command(parser(), argv)
