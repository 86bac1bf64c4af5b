"""A lab for each test."""

from tests.support.segment import lab

__all__ = ["lab"]
