"""`carpsidecar demo`: the lab's demonstration."""

from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    from carpsidecar.lab import demo

    return demo.main(argv)
