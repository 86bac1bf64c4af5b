"""A state directory of the test's own, and log lines that are kept."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carpsidecar.logs import logger


@pytest.fixture(autouse=True)
def state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setenv("STATE_DIRECTORY", str(folder))
    return folder


@pytest.fixture
def logged() -> Iterator[list[dict[str, Any]]]:
    """The keys of each line, with its event and message."""
    lines: list[dict[str, Any]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            keys = getattr(record, "keys", {})
            lines.append({"event": getattr(record, "event", ""), "message": record.getMessage(), **keys})

    handler = Keep()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)
