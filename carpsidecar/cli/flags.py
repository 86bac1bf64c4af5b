"""A flag for each setting of the schema."""

import argparse
import os
from collections.abc import Mapping
from typing import Any

from carpsidecar.cli.parser import Parser
from carpsidecar.config.schema import ENGINE_FIELDS, GROUP_FIELDS, LOG_FIELDS, REPORTER_FIELDS
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
                section.add_argument(flag_name(name), dest=name, action="append", metavar=field.metavar, help=again)
            else:
                section.add_argument(flag_name(name), dest=name, metavar=field.metavar, help=text)


def source_of(given: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, str], str | None]:
    """What `load` takes, of what a parser with our settings read."""
    return {name: value for name, value in given.items() if name != "config"}, os.environ, given["config"]
