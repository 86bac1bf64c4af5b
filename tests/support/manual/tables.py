"""The tables of the manual's pages, as rows of cells."""

import re
from collections.abc import Iterator

from tests.support.manual.page import SOURCE

DOCS = SOURCE / "docs"

Row = dict[str, str]


def rows(page: str, *columns: str) -> list[Row]:
    """Of all tables of the page whose head begins with these columns: a dictionary by column for each row."""
    found = [
        row
        for head, body in _tables((DOCS / page).read_text())
        if head[: len(columns)] == [*columns]
        for row in body
    ]
    assert found, f"{page} has no table with the columns {columns}"
    return found


def names(cell: str) -> set[str]:
    """What the cell has between backquotes."""
    return set(re.findall(r"`([^`]+)`", cell))


def _tables(text: str) -> Iterator[tuple[list[str], list[Row]]]:
    for table in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        head, _, *body = ([cell.strip() for cell in _cells(line)] for line in table.splitlines())
        yield head, [dict(zip(head, row, strict=True)) for row in body]


def _cells(line: str) -> list[str]:
    return re.split(r"(?<!\\)\|", line)[1:-1]
