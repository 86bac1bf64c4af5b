"""What a check has to say."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """It may do harm, or will in certain cases."""
    PROBLEM = "problem"
    """It keeps the group from working as it should."""
    SKIPPED = "skipped"
    """It could not be looked at; `found` says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the answer. `remedy` is empty where there is nothing to do."""

    check: str
    status: Status
    found: str
    remedy: str = ""
    about: str = ""
    """The group, or the interface; empty: the machine."""


def exit_status(findings: Iterable[Finding]) -> int:
    """0 where there is no problem, else 1. Warnings are none."""
    return int(any(finding.status is Status.PROBLEM for finding in findings))
