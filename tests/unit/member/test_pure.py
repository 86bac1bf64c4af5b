"""What decides knows no clock, no socket and no machine: time and outcomes come in as events."""

import ast
from pathlib import Path

import pytest

import carpsidecar

PACKAGE = Path(carpsidecar.__file__).parent
OF_THE_MACHINE = {"asyncio", "os", "random", "select", "signal", "socket", "subprocess", "threading", "time"}
"""`secrets` is not here: a hardened packet's nonce is random wherever it is made."""
OURS = {"protocol": {"protocol"}, "member": {"protocol", "member"}}


def imports_of(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: import by the full name"
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("room", OURS)
def test_protocol_and_member_import_nothing_of_the_machine(room: str) -> None:
    files = sorted((PACKAGE / room).rglob("*.py"))
    assert len(files) > 1
    for file in files:
        assert {name.split(".")[0] for name in imports_of(file)} & OF_THE_MACHINE == set(), file


@pytest.mark.parametrize("room", OURS)
def test_and_of_ours_only_what_is_below_them(room: str) -> None:
    for file in (PACKAGE / room).rglob("*.py"):
        ours = {name.split(".")[1] for name in imports_of(file) if name.startswith("carpsidecar.")}
        assert ours <= OURS[room], file
