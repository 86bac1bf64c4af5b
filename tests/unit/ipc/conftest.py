"""A loop for each test."""

from tests.unit.engine.conftest import loop

__all__ = ["loop"]
