"""Which layer may import which, with nothing hidden behind TYPE_CHECKING or in a function."""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "carpsidecar"
LINES_MAX = 350
WITH_A_REASON = {
    "carpsidecar.protocol.election": "the table of docs/protocol.md, whole",
    "carpsidecar.engine.group": "one method an action of the member, and one an event",
}
OF_THE_OUTSIDE = {"socket", "asyncio", "os", "time", "select", "threading", "subprocess", "pyroute2"}


@cache
def modules() -> dict[str, Path]:
    def name(path: Path) -> str:
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    return {name(path): path for path in PACKAGE.rglob("*.py")}


@cache
def imports_of(module: str) -> frozenset[str]:
    """Everything that this module's text imports, wherever it does: modules of ours by their full name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(modules()[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            for alias in node.names:
                within = f"{node.module}.{alias.name}"
                found.add(within if within in modules() else str(node.module))
    return frozenset(found)


def layer(module: str) -> str:
    """The folder under carpsidecar/, or the module's own name there."""
    return module.split(".")[1] if "." in module else module


def imports_between_layers() -> list[tuple[str, str]]:
    """Each layer with each other layer of ours that it imports."""
    return sorted(
        {
            (layer(module), layer(target))
            for module in modules()
            for target in imports_of(module)
            if target.startswith("carpsidecar.") and layer(target) != layer(module)
        }
    )


def circle() -> list[str]:
    """Modules that import each other in a circle, or none."""
    done: set[str] = set()
    path: list[str] = []

    def visit(module: str) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        path.append(module)
        for target in sorted(imports_of(module) & modules().keys()):
            if found := visit(target):
                return found
        path.pop()
        done.add(module)
        return []

    return next((found for module in sorted(modules()) if (found := visit(module))), [])


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert " -> ".join(circle()) == ""


@pytest.mark.parametrize("name", ["protocol", "member"])
def test_what_decides_has_neither_socket_nor_clock(name: str) -> None:
    mine = [module for module in modules() if layer(module) == name]
    assert mine
    for module in mine:
        roots = {target.split(".")[0] for target in imports_of(module)}
        assert not roots & OF_THE_OUTSIDE, module


@pytest.mark.parametrize(
    ("name", "may_import"),
    [
        ("protocol", set()),
        ("linux", set()),
        ("ipc", set()),
        ("lab", set()),
        ("member", {"protocol"}),
        ("config", {"protocol", "ipc"}),
        ("status", {"ipc", "linux"}),
        ("engine", {"protocol", "member", "linux", "config", "ipc", "drained", "logs"}),
        ("reporter", {"linux", "status", "ipc", "drained", "logs"}),
    ],
)
def test_a_layer_imports_no_other_than(name: str, may_import: set[str]) -> None:
    found = {target for importer, target in imports_between_layers() if importer == name}
    assert found <= may_import


def test_nothing_imports_the_commands() -> None:
    assert {importer for importer, target in imports_between_layers() if target == "cli"} == {"__main__"}


def test_the_protocol_needs_nothing_from_outside_but_cryptography() -> None:
    roots = {t.split(".")[0] for m in modules() if layer(m) == "protocol" for t in imports_of(m)}
    assert roots - sys.stdlib_module_names == {"carpsidecar", "cryptography"}


def test_no_file_holds_too_much() -> None:
    lines = {name: path.read_text().count("\n") for name, path in modules().items()}
    assert {name for name, count in lines.items() if count > LINES_MAX} <= WITH_A_REASON.keys()
