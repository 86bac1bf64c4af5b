"""Which network this process is in."""

from pathlib import Path


def network_namespace() -> int:
    """Its network namespace, by the number that this kernel gives to each; 0: not known."""
    try:
        return Path("/proc/self/ns/net").stat().st_ino
    except OSError:
        return 0
