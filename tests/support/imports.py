"""The package's modules by name, and what each of them imports, wherever in its text it does."""

import ast
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "carpsidecar"


@cache
def modules() -> dict[str, Path]:
    def name(path: Path) -> str:
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    return {name(path): path for path in PACKAGE.rglob("*.py")}


@cache
def imports_of(module: str) -> frozenset[str]:
    """Also behind TYPE_CHECKING and in functions; modules of ours by their full name."""
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


def imported_by(name: str) -> set[str]:
    """The other layers that this one imports."""
    return {
        layer(target)
        for module in modules()
        if layer(module) == name
        for target in imports_of(module)
        if target.startswith("carpsidecar.") and layer(target) != name
    }
