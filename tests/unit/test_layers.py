"""Which layer may import which, with nothing hidden behind TYPE_CHECKING or in a function."""

import ast
import re
import sys
from pathlib import Path

import pytest

from tests.support.imports import imported_by, imports_of, layer, modules

LINES_MAX = 350
WITH_A_REASON = {
    "carpsidecar.engine.interface": "whatever reopens an interface restores all that hung on it",
    "carpsidecar.engine.run": "start, signals and end of the process, in their order",
    "carpsidecar.member.member": "every event of a vhid: what decides is in one place",
    "carpsidecar.engine.engine": "what configuration, kernel and commands each do to the groups",
    "carpsidecar.ipc.messages": "every message between the two processes, each with what its fields mean",
    "carpsidecar.protocol.election": "the table of docs/protocol.md, whole",
}
OF_THE_OUTSIDE = {"socket", "asyncio", "os", "time", "select", "threading", "subprocess", "pyroute2"}


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


def test_protocol_and_kernel_do_not_know_each_other_nor_the_engine_the_reporter() -> None:
    assert imported_by("protocol") == imported_by("linux") == set()
    assert imported_by("member") == {"protocol"}
    assert "reporter" not in imported_by("engine")
    assert "engine" not in imported_by("reporter")


def test_nothing_imports_the_commands() -> None:
    assert {name for name in map(layer, modules()) if "cli" in imported_by(name)} == {"__main__"}


def test_the_protocol_needs_nothing_from_outside_but_cryptography() -> None:
    roots = {t.split(".")[0] for m in modules() if layer(m) == "protocol" for t in imports_of(m)}
    assert roots - sys.stdlib_module_names == {"carpsidecar", "cryptography"}


def test_no_file_holds_too_much() -> None:
    lines = {name: path.read_text().count("\n") for name, path in modules().items()}
    assert {name for name, count in lines.items() if count > LINES_MAX} <= WITH_A_REASON.keys()


def test_tests_share_by_the_support_folder_and_not_by_files_of_tests() -> None:
    found = {
        f"{path.name}: {node.module}"
        for path in Path(__file__).parents[1].rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and re.match(r"tests\..*\btest_", node.module or "")
    }
    assert found == set()
