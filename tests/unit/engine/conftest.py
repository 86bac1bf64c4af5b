"""A loop for each test, and what was logged meanwhile."""

from collections.abc import Iterator

import pytest

from tests.support.logs import logged
from tests.unit.engine.loops import Loop

__all__ = ["logged", "loop"]


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()
