"""What the checks found, as values, as a table for people, and as JSON (its schema: docs/troubleshooting.md)."""

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from functools import wraps
from typing import Any, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace


class Status(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """It may do harm, or will in certain cases."""
    PROBLEM = "problem"
    """It keeps the group from working as it should."""
    SKIPPED = "skipped"
    """It could not be looked at; `found` says why."""


class Finding(Struct, frozen=True):
    """One line of the answer. `remedy` is empty where there is nothing to do."""

    check: str
    status: Status
    found: str
    remedy: str = ""
    about: str = ""
    """The group, or the pool; empty: the machine."""


def ok(found: str, about: str = "") -> Finding:
    return Finding("", Status.OK, found, about=about)


def warning(found: str, remedy: str, about: str = "") -> Finding:
    return Finding("", Status.WARNING, found, remedy, about)


def problem(found: str, remedy: str, about: str = "") -> Finding:
    return Finding("", Status.PROBLEM, found, remedy, about)


def skipped(found: str) -> Finding:
    return Finding("", Status.SKIPPED, found)


def named(check: str, about: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    """What one check found, under its name; about this where it says nothing else."""
    try:
        for finding in list(findings):
            yield replace(finding, check=check, about=finding.about or about)
    except OSError as error:
        yield Finding(check, Status.SKIPPED, f"could not be examined: {error.strerror or error}", about=about)


class Examined(Protocol):
    @property
    def name(self) -> str:
        """What findings are about; empty for the machine."""


_T = TypeVar("_T", bound=Examined)
Check = Callable[[_T], Iterator[Finding]]


def check(name: str) -> Callable[[Check[_T]], Check[_T]]:
    """A check by this name, which its findings need not repeat."""

    def wrap(function: Check[_T]) -> Check[_T]:
        @wraps(function)
        def checked(examined: _T) -> Iterator[Finding]:
            return named(name, examined.name, function(examined))

        return checked

    return wrap


def exit_status(findings: Iterable[Finding]) -> int:
    """0 where there is no problem, else 1. Warnings are none."""
    return int(any(finding.status is Status.PROBLEM for finding in findings))


SCHEMA_VERSION = 1
_COLOURS = {Status.OK: "32", Status.WARNING: "33", Status.PROBLEM: "1;31", Status.SKIPPED: "2"}
_NARROWEST = 60


def table(findings: Sequence[Finding], *, colour: bool, width: int | None) -> Iterator[str]:
    """Lines; `width` is None where nobody needs them to be broken."""
    columns = [max(len(str(value)) for value in column) for column in zip(*map(_cells, findings), strict=True)]
    start = sum(columns) + 2 * len(columns)
    for finding in findings:
        cells = [f"{cell:<{size}}" for cell, size in zip(_cells(finding), columns, strict=True)]
        if colour:
            cells[0] = f"\x1b[{_COLOURS[finding.status]}m{cells[0]}\x1b[0m"
        first, *more = _broken(finding.found, start, width)
        yield "  ".join([*cells, first])
        for line in more:
            yield " " * start + line
        if finding.remedy:
            first, *more = _broken(finding.remedy, start + 3, width)
            yield f"{'':{start}}-> {first}"
            for line in more:
                yield " " * (start + 3) + line
    counts = Counter(finding.status for finding in findings)
    yield ", ".join(f"{counts[status]} {status}" for status in Status if counts[status])


def document(findings: Sequence[Finding]) -> dict[str, Any]:
    """What --json prints."""
    return {
        "version": SCHEMA_VERSION,
        "exit_status": exit_status(findings),
        "findings": [
            {
                "check": finding.check,
                "status": str(finding.status),
                "about": finding.about,
                "found": finding.found,
                "remedy": finding.remedy,
            }
            for finding in findings
        ],
    }


def _cells(finding: Finding) -> tuple[str, str, str]:
    return str(finding.status), finding.check, finding.about


def _broken(text: str, start: int, width: int | None) -> list[str]:
    if width is None:
        return [text]
    return textwrap.wrap(text, max(width - start, _NARROWEST), break_on_hyphens=False) or [""]
