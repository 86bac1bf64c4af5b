"""`carpsidecar demo`: the lab's demonstration."""

from collections.abc import Sequence

from carpsidecar.cli.errors import FAILED, complain


def main(argv: Sequence[str]) -> int:
    try:
        from carpsidecar.lab import demo
    except ModuleNotFoundError as error:
        if error.name != "carpsidecar.lab":
            raise
        complain("the demo is not in this build: get the source, and run `make demo` there")
        return FAILED
    return demo.main(argv)
