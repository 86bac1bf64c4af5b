"""The page on the architecture: its trips lead through the code as it is, and its layers import what it says."""

import ast
import re
from itertools import pairwise

import pytest

from tests.support.imports import PACKAGE, imported_by
from tests.support.manual.page import SOURCE
from tests.support.manual.tables import Row, names, rows

PAGE = "architecture.md"
LAST_OF_THE_FIRST_TRIP = "apply"
TEXT = (SOURCE / "docs" / PAGE).read_text()


def hops() -> list[Row]:
    return rows(PAGE, "file", "function")


def only(cell: str) -> str:
    [name] = names(cell)
    return name


def function(hop: Row) -> ast.AST:
    """The function of this hop, found by its name."""
    found: ast.AST = ast.parse((PACKAGE / only(hop["file"])).read_text())
    for name in only(hop["function"]).split("."):
        found = next(
            node
            for node in ast.iter_child_nodes(found)
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
        )
    return found


def mentioned(node: ast.AST) -> set[str]:
    """Every name and attribute in it, and its own name."""
    found = {getattr(node, "name", "")}
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            found.add(part.id)
        elif isinstance(part, ast.Attribute):
            found.add(part.attr)
        elif isinstance(part, ast.MatchClass) and isinstance(part.cls, ast.Name):
            found.add(part.cls.id)
    return found


def hands_on(hop: Row) -> tuple[str, str]:
    """What this function hands on, and what the next one knows it by."""
    out, *into = re.findall(r"`(\w+)`", hop["goes on by"])
    return out, into[0] if into else out


@pytest.mark.parametrize("hop", hops(), ids=lambda hop: hop["function"])
def test_a_hop_goes_on_by_what_the_page_says(hop: Row) -> None:
    assert hands_on(hop)[0] in mentioned(function(hop))


@pytest.mark.parametrize(("hop", "following"), list(pairwise(hops())), ids=lambda hop: hop["function"])
def test_a_hop_leads_to_the_next(hop: Row, following: Row) -> None:
    if only(hop["function"]) != LAST_OF_THE_FIRST_TRIP:
        assert hands_on(hop)[1] in mentioned(function(following))


@pytest.mark.parametrize("row", rows(PAGE, "layer", "what it is"), ids=lambda row: row["layer"])
def test_a_layer_imports_no_other_than_the_page_says(row: Row) -> None:
    assert imported_by(only(row["layer"])) <= names(row["it may import"])


def test_what_to_look_at_is_there() -> None:
    for row in rows(PAGE, "to change", "look at"):
        for file, symbol in re.findall(r"`([\w/]+\.py)`(?:: `(\w+)`)?", row["look at"]):
            text = (PACKAGE / file).read_text()
            assert re.search(rf"^(class {symbol}\b|{symbol}\b.*=)", text, re.MULTILINE) or not symbol, file
