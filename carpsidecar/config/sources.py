"""Gathering the configuration: built-in defaults, then the file, then the environment, then the flags.

In a file, what stands beside `groups` holds for every group in it. What the environment and the flags say holds for
every group too, so that one file serves all nodes and `CARP_ADVSKEW` makes the difference.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from carpsidecar.config.group import GroupConfig, check_together, resolve_group, with_advskew
from carpsidecar.config.passphrase import PASSPHRASE_FIELDS
from carpsidecar.config.reporter import resolve_reporter
from carpsidecar.config.schema import (
    ENGINE_FIELDS,
    FILE_ONLY,
    GROUP_FIELDS,
    LOG_FIELDS,
    PROCESS_FIELDS,
    REPORTER_FIELDS,
    ConfigError,
    Given,
    show,
)
from carpsidecar.ipc.messages import ReporterSettings

ENVIRONMENT_PREFIX = "CARP_"
CONFIG_VARIABLE = "CARP_CONFIG"

_ONE_GROUP_ONLY = ("vip", "vhid", "name")

Layer = Mapping[str, Given]


@dataclass(frozen=True, slots=True)
class Config:
    """All that a run needs to know."""

    groups: tuple[GroupConfig, ...]
    log_format: str = "text"
    log_level: str = "info"
    realtime: bool = False
    reporter: ReporterSettings | None = None
    """None: none is to be started."""
    warnings: tuple[str, ...] = ()


def flag_name(name: str) -> str:
    return "--" + name.removesuffix("_s").replace("_", "-")


def load(flags: Mapping[str, Any], environ: Mapping[str, str], file: str | None = None) -> Config:
    """Read and check everything.

    Args:
        flags: what the command line gave, by field; None means not given.
        file: the configuration file; the environment's CARP_CONFIG where it is None.

    Raises:
        ConfigError: something can't be used; one line that says what, where, and what to do.
    """
    path = file or environ.get(CONFIG_VARIABLE)
    beside, listed, structures = _read_file(Path(path)) if path else ({}, [{}], {})
    above = _override(_environment(environ), _flags(flags))
    if len(listed) > 1:
        for name in _ONE_GROUP_ONLY:
            if name in above:
                raise ConfigError(f"{above[name].origin}: the file has {len(listed)} groups: set it there")
    merged = [_override(_override(beside, group), above) for group in listed]
    groups, warnings = [], []
    for given in merged:
        group, said = resolve_group({n: v for n, v in given.items() if n in GROUP_FIELDS})
        groups.append(group)
        warnings += [line for line in said if line not in warnings]
    check_together(groups)
    process = _override(beside, above)
    own = {
        name: field.convert(process[name])
        for name, field in (ENGINE_FIELDS | LOG_FIELDS).items()
        if name in process
    }
    config = Config(groups=tuple(groups), warnings=tuple(warnings), **own)
    if "node_advskew" in structures:
        config = replace(config, groups=_of_this_node(config.groups, structures["node_advskew"], process))
    reporter = resolve_reporter(
        {name: value for name, value in process.items() if name in REPORTER_FIELDS},
        structures.get("checks"),
        [group.name for group in groups],
        config.log_format,
        config.log_level,
    )
    if reporter.kubernetes is not None and reporter.kubernetes.discover_peers:
        config = replace(config, groups=tuple(replace(group, awaits_peers=True) for group in config.groups))
    return replace(config, reporter=reporter)


def _of_this_node(groups: tuple[GroupConfig, ...], given: Given, process: Layer) -> tuple[GroupConfig, ...]:
    """The groups with the advskew that the file gives this node."""
    if not isinstance(given.value, dict):
        raise ConfigError(f"{given.origin}: {show(given.value)} can't be used: give each node's name an advskew")
    node = REPORTER_FIELDS["node_name"].convert(process["node_name"]) if "node_name" in process else ""
    advskews = {
        name: GROUP_FIELDS["advskew"].convert(Given(value, f"{given.origin}.{name}"))
        for name, value in given.value.items()
    }
    advskew = advskews.get(node or socket.gethostname())
    return groups if advskew is None else tuple(with_advskew(group, advskew) for group in groups)


def _override(below: Layer, above: Layer) -> Layer:
    """Both, where `above` wins; a passphrase given above, in whatever way, replaces the one below."""
    if any(name in above for name in PASSPHRASE_FIELDS):
        below = {name: value for name, value in below.items() if name not in PASSPHRASE_FIELDS}
    return {**below, **above}


def _flags(flags: Mapping[str, Any]) -> Layer:
    return {name: Given(value, flag_name(name)) for name, value in flags.items() if value is not None}


def _environment(environ: Mapping[str, str]) -> Layer:
    layer = {}
    for name, field in (GROUP_FIELDS | PROCESS_FIELDS).items():
        variable = ENVIRONMENT_PREFIX + name.removesuffix("_s").upper()
        text = environ.get(variable)
        # An empty variable is how Helm and systemd say "not set".
        if text:
            value = [part.strip() for part in text.split(",") if part.strip()] if field.repeats else text
            layer[name] = Given(value, variable)
    return layer


def _read_file(path: Path) -> tuple[Layer, list[Layer], Layer]:
    """What stands beside the groups, each group (one empty one where the file has no list), and the structures."""
    from carpsidecar.config.yaml_file import read_mapping

    content = read_mapping(path)
    structures = {
        name: Given(value, f"{path}: {name}")
        for name in FILE_ONLY
        if (value := content.pop(name, None)) is not None
    }
    groups = structures.pop("groups", Given(None, "")).value
    beside = _layer(content, GROUP_FIELDS | PROCESS_FIELDS, f"{path}: ")
    if groups is None:
        return beside, [{}], structures
    if not isinstance(groups, list) or not groups or not all(isinstance(group, dict) for group in groups):
        raise ConfigError(
            f"{path}: groups: {show(groups)} can't be used: give a list of groups, each a mapping of its settings"
        )
    listed = [_layer(group, GROUP_FIELDS, f"{path}: groups[{index}].") for index, group in enumerate(groups)]
    return beside, listed, structures


def _layer(content: Mapping[Any, Any], allowed: Mapping[str, Any], where: str) -> Layer:
    for name in content:
        if name not in allowed:
            shown = name if isinstance(name, str) and len(name) <= 40 else show(name)
            raise ConfigError(f"{where}{shown}: there is no such setting: see `carpsidecar config schema`")
    return {name: Given(value, where + name) for name, value in content.items() if value is not None}
