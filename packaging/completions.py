"""Writes the completions for bash, zsh and fish, a file each, from the tables that the command line itself reads.

usage: completions.py FOLDER
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

import shtab

from carpsidecar.cli import COMMANDS
from carpsidecar.cli.command import VERBS
from carpsidecar.cli.command import parser as parser_of_verb
from carpsidecar.cli.config import check_parser
from carpsidecar.cli.manifest import pod_parser
from carpsidecar.cli.ucarp_options import OPTIONS

SHELLS = ("bash", "zsh", "fish")


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: completions.py FOLDER", file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for shell in SHELLS:
        (folder / shell).write_text(shtab.complete(command_line(), shell=shell))
    return 0


def command_line() -> argparse.ArgumentParser:
    """All commands in one parser; the program itself imports only the command that it is asked for."""
    whole = argparse.ArgumentParser(prog="carpsidecar")
    commands = whole.add_subparsers()
    for name, (module_name, purpose) in COMMANDS.items():
        module = import_module(module_name)
        if name in VERBS:
            made = parser_of_verb(name)
        else:
            made = module.parser() if hasattr(module, "parser") else argparse.ArgumentParser()
        one = commands.add_parser(name, help=purpose, parents=[made], add_help=False)
        if name == "manifest":
            below = one.add_subparsers()
            below.add_parser("pod", parents=[pod_parser()], add_help=False, help="print a static pod")
        elif name == "config":
            below = one.add_subparsers()
            below.add_parser(
                "check", parents=[check_parser()], add_help=False, help="say what is wrong, or print it"
            )
            below.add_parser("schema", help="print the JSON Schema")
        elif name == "ucarp":
            for option in OPTIONS:
                add_ucarp_option(one, option)
        for action in one._actions:
            if action.metavar in ("FILE", "SOCKET"):
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return whole


def add_ucarp_option(parser: argparse.ArgumentParser, option: object) -> None:
    if option.long != "help":
        action = "store" if option.argument else "store_true"
        parser.add_argument(f"-{option.short}", f"--{option.long}", action=action, help=option.description)


if __name__ == "__main__":
    sys.exit(main())
