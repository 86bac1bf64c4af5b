"""A flag for each setting of the schema."""

import argparse
import os
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from carpsidecar.cli.parser import Parser
from carpsidecar.config.schema import ENGINE_FIELDS, GROUP_FIELDS, LOG_FIELDS, REPORTER_FIELDS, Field
from carpsidecar.config.sources import CONFIG_VARIABLE, ENVIRONMENT_PREFIX, flag_name

PRECEDENCE = f"""\
Every setting has three names: --advskew, {ENVIRONMENT_PREFIX}ADVSKEW in the environment, and advskew in the file.
A flag overrides the environment, which overrides the file. Several values in one variable are separated by commas.

exit status:
"""


def add_settings(parser: Parser) -> None:
    """A flag for each setting there is."""
    parser.add_argument(
        "--config", metavar="FILE", help=f"configuration file, in YAML (default: {CONFIG_VARIABLE}, or none)"
    )
    sections = {"group": GROUP_FIELDS, "engine": ENGINE_FIELDS, "log": LOG_FIELDS, "reporter": REPORTER_FIELDS}
    for title, fields in sections.items():
        section = parser.add_argument_group(title)
        for name, field in fields.items():
            text = field.description.replace("%", "%%")
            if field.is_switch:
                section.add_argument(flag_name(name), action=argparse.BooleanOptionalAction, help=text)
            elif field.repeats:
                again = f"{text}; may be given several times"
                section.add_argument(
                    flag_name(name), dest=name, action="append", metavar=_metavar(field), help=again
                )
            else:
                section.add_argument(flag_name(name), dest=name, metavar=_metavar(field), help=text)


_METAVARS = {
    "advskew": "N|auto",
    "advskew_label": "LABEL",
    "http": "ADDRESS:PORT",
    "kubeconfig": "FILE",
    "passphrase_file": "FILE",
    "pod_selector": "SELECTOR",
    "workload_selector": "SELECTOR",
    **dict.fromkeys(
        ("interface", "name", "sync_group", "pod_name", "pod_namespace", "node_name", "workload_namespace"), "NAME"
    ),
}


def _metavar(field: Field) -> str:
    kind = get_args(field.type)[0]
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    if field.name in _METAVARS:
        return _METAVARS[field.name]
    if field.repeats:
        return "ADDRESS"
    if field.name.startswith("on_"):
        return "COMMAND"
    return {int: "N", float: "SECONDS"}.get(kind, "TEXT")


def source_of(given: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, str], str | None]:
    """What `load` takes, of what a parser with our settings read."""
    return {name: value for name, value in given.items() if name != "config"}, os.environ, given["config"]
