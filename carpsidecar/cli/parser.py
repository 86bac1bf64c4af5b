"""argparse's parser with our error messages."""

import argparse
from collections.abc import Sequence
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
