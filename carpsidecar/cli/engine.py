"""The engine as a command starts it: imported late, since it is the largest part of the program."""

import logging
import sys
from typing import Any

from carpsidecar.config.sources import Config
from carpsidecar.logs import log


def run_engine(config: Config, **how: Any) -> int:
    """`carpsidecar.engine.run.run`, and what it raises."""
    _import_asyncio_without_tls()
    from carpsidecar.engine.run import run

    for warning in config.warnings:
        log(logging.WARNING, "config", warning)
    return run(config, **how)


def _import_asyncio_without_tls() -> None:
    """The engine speaks no TLS, and OpenSSL would take 7 ms of its start and 2 MB of its memory."""
    if "asyncio" not in sys.modules and "ssl" not in sys.modules:
        sys.modules["ssl"] = None  # type: ignore[assignment]
        try:
            import asyncio  # noqa: F401
        finally:
            del sys.modules["ssl"]
