"""`carpsidecar undrain`: end a drain."""

from collections.abc import Sequence

from carpsidecar.cli.command import command, command_parser
from carpsidecar.cli.parser import Parser

_DESCRIPTION = """\
Take part again as before `carpsidecar drain`.
"""
_EXAMPLES = """\
  carpsidecar undrain
  carpsidecar undrain web
"""


def parser() -> Parser:
    return command_parser("carpsidecar undrain", _DESCRIPTION, _EXAMPLES)


def main(argv: Sequence[str]) -> int:
    return command(parser(), argv)
