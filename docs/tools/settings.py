"""Makes the page of all settings from the schema: python -m docs.tools.settings FILE"""

import sys
from collections.abc import Iterable
from pathlib import Path

from msgspec import NODEFAULT

from carpsidecar.config.load_balancer import LOAD_BALANCER_FIELDS, POOL_FIELDS, SHARED
from carpsidecar.config.schema import (
    CHECK_FIELDS,
    ENGINE_FIELDS,
    FILE_ONLY,
    GROUP_FIELDS,
    LOG_FIELDS,
    REPORTER_FIELDS,
    Field,
)
from carpsidecar.config.sources import flag_name, variable_name

_HEAD = """\
# Settings

A setting has one name: `advskew` in the file, `--advskew` as a flag, `CARP_ADVSKEW` in the environment. A flag
overrides the environment, which overrides the file, which overrides the default. `vip` (or `groups`, or
`load_balancer`) and a passphrase must be given.

- **The file** is YAML: `--config FILE`, or `CARP_CONFIG`. `carpsidecar config check` says what it comes to, and
  `carpsidecar config schema` prints its JSON Schema, for editors. An unknown setting is an error, and `null` says
  "not given".
- **Several values** are a list in the file, a flag given several times, and commas in a variable.
- **`true` or `false`** as flags are `--preempt` and `--no-preempt`.
- **An empty variable** is one that is not set.
- **A change** of the file is read at HUP (`systemctl reload carpsidecar`): [change while it
  runs](../recipes/change.md).

On Kubernetes the chart writes the file: `config`, `groups` and `health.checks` of its values take these names.
"""
_NAMES = ["in the file", "flag", "variable", "takes", "default", "meaning"]
_REST = ["takes", "default", "meaning"]
_BESIDE_SERVICES = f"""\
Each address for Services of type LoadBalancer is in a group of its own, hardened and with `preempt`, named `lb-`
and the vhid. `vip` and `groups` may be left out beside it. Of what stands there, this holds for these groups too:
{", ".join(f"`{name}`" for name in SHARED)}."""


def page() -> str:
    """The whole page, as Markdown."""
    sections = {
        "Of a group": ("What holds for one vhid and its addresses.", GROUP_FIELDS),
        "Of the engine": ("The process that holds the addresses.", ENGINE_FIELDS),
        "Of the log": ("[Log lines](logs.md) lists what is logged.", LOG_FIELDS),
        "Of the reporter": ("The process that faces people and the cluster.", REPORTER_FIELDS),
    }
    parts = [_HEAD]
    for title, (words, fields) in sections.items():
        parts.append(f"## {title}\n\n{words}\n\n{_table(_NAMES, (_row(field) for field in fields.values()))}")
    structures = ([f"`{name}`", purpose] for name, purpose in FILE_ONLY.items())
    parts.append(f"## In the file alone\n\n{_table(['in the file', 'meaning'], structures)}")
    parts.append(_of_list("Of a health check", "Each of the list `checks`.", "in `checks`", CHECK_FIELDS))
    parts.append(_of_list("Of `load_balancer`", _BESIDE_SERVICES, "in `load_balancer`", LOAD_BALANCER_FIELDS))
    parts.append(_of_list("Of a pool", "Each of the list `pools` in `load_balancer`.", "in `pools`", POOL_FIELDS))
    return "\n".join(parts)


def _of_list(title: str, words: str, where: str, fields: dict[str, Field]) -> str:
    rows = ([_code(name), *_rest(field)] for name, field in fields.items())
    return f"## {title}\n\n{words}\n\n{_table([where, *_REST], rows)}"


def _row(field: Field) -> list[str]:
    return [_code(field.name), _code(flag_name(field.name)), _code(variable_name(field.name)), *_rest(field)]


def _rest(field: Field) -> list[str]:
    """What it takes, its default, and what it is for."""
    takes = field.remedy.removeprefix("give ")
    if field.repeats:
        takes += "; several if need be"
    if field.default is NODEFAULT:
        default = "must be given"
    elif field.default is None:
        default = field.fallback or "-"
    else:
        default = _code(f"{field.default:g}" if field.kind is float else str(field.default))
        default = default.lower() if field.is_switch else default
    purpose = (field.meta.description or "").removesuffix(f" (default: {field.fallback})")
    return [takes, default, purpose]


def _code(text: str) -> str:
    return f"`{text}`"


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page())
