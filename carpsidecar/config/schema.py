"""The one schema: what can be configured, what it must look like, and what to do when it does not.

Flags, environment and file carry the same names (`vip`, `--vip`, `CARP_VIP`), and all are checked against it.
"""

from types import GenericAlias
from typing import Annotated, Any

import msgspec

from carpsidecar.config import group_fields, process_fields
from carpsidecar.config.field import ConfigError, Field, Given, show
from carpsidecar.config.group_fields import AuthMode

__all__ = ["AuthMode", "ConfigError", "Field", "Given", "show"]

GROUP_FIELDS = {field.name: field for field in group_fields.NAMED}
ENGINE_FIELDS = {field.name: field for field in process_fields.ENGINE}
REPORTER_FIELDS = {field.name: field for field in process_fields.REPORTER}
CHECK_FIELDS = {field.name: field for field in process_fields.CHECK}
LOG_FIELDS = {field.name: field for field in process_fields.LOG}
PROCESS_FIELDS = ENGINE_FIELDS | LOG_FIELDS | REPORTER_FIELDS

FILE_ONLY = {
    "groups": "the groups, where there are several; what stands beside them holds for each",
    "node_advskew": "advskew by the name of the node; wins over advskew",
    "checks": "health checks, which demote while they fail",
}
"""What has no flag and no variable, since it is a structure."""


def json_schema() -> dict[str, Any]:
    """The schema of the file, as JSON Schema 2020-12."""

    def struct(name: str, fields: tuple[Any, ...]) -> Any:
        return msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)

    def members(fields: tuple[Field, ...]) -> tuple[Any, ...]:
        return tuple((field.name, field.type | None, None) for field in fields)

    def described(name: str, kind: Any) -> tuple[Any, ...]:
        return name, Annotated[kind | None, msgspec.Meta(description=FILE_ONLY[name])], None

    file = struct(
        "Configuration",
        (
            *members((*group_fields.NAMED, *PROCESS_FIELDS.values())),
            described("groups", GenericAlias(list, (struct("Group", members(group_fields.NAMED)),))),
            described("node_advskew", dict[str, Annotated[int, msgspec.Meta(ge=0, le=254)]]),
            described("checks", GenericAlias(list, (struct("Check", members(process_fields.CHECK)),))),
        ),
    )
    schema = msgspec.json.schema(file)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "carpsidecar", **schema}
