"""The schema of the configuration file for editors and validators."""

from types import GenericAlias
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from carpsidecar.config.load_balancer import LOAD_BALANCER_FIELDS, POOL_FIELDS
from carpsidecar.config.schema import CHECK_FIELDS, FILE_ONLY, GROUP_FIELDS, PROCESS_FIELDS, Advskew, Field


def json_schema() -> dict[str, Any]:
    """The schema of the file, as JSON Schema 2020-12. A setting may be null there, which says "not given"."""

    def struct(name: str, members: list[tuple[Any, ...]]) -> Any:
        return msgspec.defstruct(name, members, kw_only=True, forbid_unknown_fields=True)

    def members(fields: dict[str, Field]) -> list[tuple[Any, ...]]:
        return [(name, field.type | None, field.default) for name, field in fields.items()]

    def structure(name: str, kind: Any) -> tuple[Any, ...]:
        return name, Annotated[kind | None, Meta(description=FILE_ONLY[name])], None

    by_node = structure("node_advskew", dict[str, Advskew])
    group = struct("Group", [*members(GROUP_FIELDS), by_node])
    pools = GenericAlias(list, (struct("Pool", members(POOL_FIELDS)),))
    load_balancer = struct("LoadBalancer", [*members(LOAD_BALANCER_FIELDS), ("pools", pools)])
    file = struct(
        "Configuration",
        [
            *members(GROUP_FIELDS | PROCESS_FIELDS),
            structure("groups", GenericAlias(list, (group,))),
            by_node,
            structure("checks", GenericAlias(list, (struct("Check", members(CHECK_FIELDS)),))),
            structure("load_balancer", load_balancer),
        ],
    )
    schema = msgspec.json.schema(file)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "carpsidecar", **schema}
