"""`carpsidecar version`."""

import json
import platform
import re
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from carpsidecar import __version__

_EPILOG = """\
Of a binary or an image it names the commit that it was built from.

exit status: 0
example: carpsidecar version"""


def main(argv: Sequence[str]) -> int:
    if argv:
        from carpsidecar.cli.parser import Parser

        Parser(
            prog="carpsidecar version",
            description="Print the version, and what it runs on: Python and the libraries.",
            epilog=_EPILOG,
        ).read(argv)
    print("\n".join(_lines()))
    return 0


def _lines() -> Iterator[str]:
    yield f"carpsidecar {__version__}"
    built = _built_from() or {"libraries": _installed()}
    if "commit" in built:
        yield f"commit {built['commit'] or 'unknown'}"
    yield f"{platform.python_implementation()} {platform.python_version()}"
    for name, version in sorted(built["libraries"].items()):
        yield f"{name} {version}"


def _built_from() -> dict[str, Any]:
    """What the build wrote down; nothing where this runs from source."""
    folder = getattr(sys, "_MEIPASS", None)
    if folder is None:
        return {}
    facts: dict[str, Any] = json.loads(Path(folder, "built-from.json").read_text())
    return facts


def _installed() -> dict[str, str]:
    """The libraries that we ask for, and those found."""
    try:
        wanted = metadata.requires("carpsidecar") or []
    except metadata.PackageNotFoundError:
        return {}
    names = [re.split(r"[^\w.-]", line)[0] for line in wanted if "extra ==" not in line]
    return {name: metadata.version(name) for name in names}
