"""What the program may log, read from its source: a call that logs names its event, and its keywords are keys."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "carpsidecar"

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
OF_A_GROUP = frozenset({"group", "interface"})
WRAPPERS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "log": (frozenset(), frozenset()),
    "logs.log": (frozenset(), frozenset()),
    "self.log": (OF_A_GROUP, frozenset()),
    "self.log.log": (OF_A_GROUP, frozenset()),
    "self._log.log": (OF_A_GROUP, frozenset()),
    "self.log_sometimes": (OF_A_GROUP, frozenset({"about"})),
    "self.log.log_sometimes": (OF_A_GROUP, frozenset({"about"})),
    "self._log.log_sometimes": (OF_A_GROUP, frozenset({"about"})),
}
"""What logs: the keys that it adds, and its own arguments, which are none."""
WITHOUT_EVENT = ("log", "_log", "log_sometimes")
"""Functions that pass on what they are given."""


@dataclass
class Event:
    levels: set[str] = field(default_factory=set)
    keys: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    """Where it is logged, and the keys there."""


def logged(package: Path = PACKAGE) -> dict[str, Event]:
    """By event."""
    # The one that is said without `log`, of lines that were lost.
    events = {"lines_dropped": Event({"warning"}, [("logs.py", frozenset({"lines"}))])}
    for path in sorted(package.rglob("*.py")):
        for function, call in _calls(ast.parse(path.read_text())):
            name = ast.unparse(call.func)
            where = f"{path.relative_to(package)}:{call.lineno}"
            level, event = call.args[:2]
            if not isinstance(event, ast.Constant):
                assert function.name in WITHOUT_EVENT, (
                    f"{where}: an event must be a literal, so that it can be found"
                )
                continue
            added, own = WRAPPERS[name]
            found = events.setdefault(str(event.value), Event())
            found.levels |= _levels(level, function)
            found.keys.append((where, added | {str(keyword.arg) for keyword in call.keywords} - own))
    return events


def _calls(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, ast.Call]]:
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and _is_log(node):
                    yield function, node


def _is_log(call: ast.Call) -> bool:
    """Also one that passes a level to something new, so that no way to log is overlooked."""
    return len(call.args) >= 3 and (ast.unparse(call.func) in WRAPPERS or bool(_levels_named(call.args[0])))


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Name):
        return function.id
    return function.attr if isinstance(function, ast.Attribute) else ""


def _levels(level: ast.expr, function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Of a name such as WARNING, of a choice between two, or of a variable that was given one of these."""
    named = _levels_named(level)
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(level, ast.Name) and _name(node.targets[0]) == level.id:
            named |= _levels_named(node.value)
    return {name.lower() for name in named}


def _levels_named(expression: ast.expr) -> set[str]:
    """`WARNING` or `logging.WARNING`, and not `Status.WARNING`."""
    found = {ast.unparse(node) for node in ast.walk(expression) if isinstance(node, ast.Name | ast.Attribute)}
    return {name.removeprefix("logging.") for name in found} & {*LEVELS} if "Status" not in found else set()
