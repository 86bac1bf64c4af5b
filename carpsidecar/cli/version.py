"""`carpsidecar version`."""

from collections.abc import Sequence

from carpsidecar import __version__


def main(argv: Sequence[str]) -> int:
    if argv:
        from carpsidecar.cli.flags import Parser

        Parser(
            prog="carpsidecar version",
            description="Print the version.",
            epilog="exit status: 0\nexample: carpsidecar version",
        ).read(argv)
    print(f"carpsidecar {__version__}")
    return 0
