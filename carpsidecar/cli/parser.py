"""argparse's parser with our error messages."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from carpsidecar.cli.errors import MISUSED, complain


class Parser(argparse.ArgumentParser):
    """Takes no abbreviations, and reports what is wrong in one line."""

    def __init__(self, *, prog: str, description: str, epilog: str = "") -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def read(self, argv: Sequence[str]) -> dict[str, Any]:
        """What was given, by name; None where nothing was."""
        known, unknown = self.parse_known_args(argv)
        for text in unknown:
            if text.startswith("-") and text != "-":
                # What follows the = may be a passphrase.
                self.error(f"unknown option {text.partition('=')[0]}")
            self.error(f"{text!r} is no option")
        return vars(known)

    def error(self, message: str) -> NoReturn:
        text = message.removeprefix("argument ").replace("expected one argument", "needs a value")
        complain(f"{text}: see {self.prog} --help", self.prog)
        self.exit(MISUSED)


def subcommand(
    argv: Sequence[str], program: str, usage: str, commands: Mapping[str, Callable[[Sequence[str]], int]]
) -> int:
    """Run the one that the first argument names, and return its exit status."""
    command, *arguments = argv or [""]
    if command in ("-h", "--help"):
        print(usage)
        return 0
    if command in commands:
        return commands[command](arguments)
    kind = "option" if command.startswith("-") else "command"
    what = f"unknown {kind} {command}" if command else f"give {' or '.join(commands)}"
    complain(f"{what}: see {program} --help", program)
    return MISUSED
