"""What the program under test logged in this process."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from carpsidecar.logs import logger


class Logged(logging.Handler):
    """Every line that was logged, with its event and keys."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def lines(self) -> list[str]:
        return [record.getMessage() for record in self.records]

    @property
    def events(self) -> list[str]:
        return [record.__dict__["event"] for record in self.records]

    @property
    def keys(self) -> list[dict[str, Any]]:
        return [record.__dict__["keys"] for record in self.records]


@pytest.fixture
def logged() -> Iterator[Logged]:
    logged = Logged()
    before = logger.handlers[:], logger.level, logger.propagate
    logger.handlers[:] = [logged]
    logger.setLevel(logging.DEBUG)
    yield logged
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])
