"""What can't be derived from the schema agrees with it: the chart's values, and the manual."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from carpsidecar.config.json_schema import json_schema
from carpsidecar.config.schema import CHECK_FIELDS, GROUP_FIELDS, LOG_FIELDS, PROCESS_FIELDS, Field
from carpsidecar.config.sources import flag_name

ROOT = Path(__file__).parents[3]
FIELDS = GROUP_FIELDS | PROCESS_FIELDS

NOT_IN_A_CHART = {"passphrase", "passphrase_fd"}
VALUES = {"vip", "interface", "vhid", "auth", "advskew", "preempt", "passphrase_file"}
"""What the chart has values of its own for."""


def in_the_chart(field: Field) -> dict[str, Any]:
    """The field in the draft of JSON Schema that Helm takes, where every setting stands for itself."""
    name = next(
        name
        for name, fields in (("Group", GROUP_FIELDS), ("Check", CHECK_FIELDS), ("Configuration", FIELDS))
        if fields.get(field.name) is field
    )
    found = json_schema()["$defs"][name]["properties"][field.name]
    alternatives = [one for one in found.pop("anyOf", [found]) if one != {"type": "null"}]
    content = {key: value for one in alternatives for key, value in one.items()}
    inner = content.pop("anyOf", [content])
    content |= {key: value for one in inner for key, value in one.items() if key != "enum"}
    types = [one.get("type", "string") for one in inner]
    if len(inner) > 1 and (words := [word for one in inner for word in one.get("enum", ())]):
        content["pattern"] = f"^({'|'.join(words)})$"
    if "pattern" in content:
        content["pattern"] = content["pattern"].replace(r"(?!\n)", "")
    content.pop("default", None)
    return content | {"description": field.description, "type": types[0] if len(types) == 1 else types}


DEFINITIONS = {
    "group": {name: field for name, field in GROUP_FIELDS.items() if name not in NOT_IN_A_CHART},
    "config": {n: f for n, f in (GROUP_FIELDS | LOG_FIELDS).items() if n not in NOT_IN_A_CHART | VALUES},
    "check": CHECK_FIELDS,
}


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_the_charts_schema_has_the_same_settings(definition: str) -> None:
    values = json.loads((ROOT / "charts/carpsidecar/values.schema.json").read_text())
    properties, fields = values["definitions"][definition]["properties"], DEFINITIONS[definition]
    assert properties.keys() - {"node_advskew"} == fields.keys()
    wrong = {name: in_the_chart(fields[name]) for name in fields if properties[name] != in_the_chart(fields[name])}
    assert not wrong, "in values.schema.json write: " + json.dumps(wrong)


def manual() -> dict[str, str]:
    """The text of each flag in carpsidecar(8), without its markup."""
    page = (ROOT / "docs/man/carpsidecar.8").read_text()
    found: dict[str, str] = {}
    for item in re.split(r"^\.It ", page, flags=re.MULTILINE)[1:]:
        head, _, body = item.partition("\n")
        text = " ".join(re.sub(r"^\.(\w\w) ", "", line) for line in body.splitlines() if line != ".")
        for flag in re.findall(r"Fl \\-([a-z-]+)", head):
            found.setdefault(f"--{flag}", text)
    return found


@pytest.mark.parametrize("name", FIELDS)
def test_the_manual_says_the_default_and_the_range(name: str) -> None:
    field, text = FIELDS[name], manual()[flag_name(name)]
    if field.is_switch:
        assert ("ff by default" in text) == (field.default is False)
    elif field.default is not None:
        default = f"{field.default:g}" if isinstance(field.default, float) else field.default
        assert re.search(rf"\b[Dd]efault (is|of \w+ is) {default}\b|\b{default} ?,? ?the default", text), text
    bounds = [bound for bound in (field.meta.ge, field.meta.le) if bound is not None]
    if len(bounds) == 2 and name != "passphrase_fd":
        assert f"from {bounds[0]} to {bounds[1]}" in text
