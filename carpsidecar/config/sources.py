"""Gathering the configuration: built-in defaults, then the file, then the environment, then the flags.

In a file, what stands beside `groups` holds for every group in it. What the environment and the flags say holds for
every group too, so that one file serves all nodes and `CARP_ADVSKEW` makes the difference.
"""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, replace

from carpsidecar.config import schema
from carpsidecar.config.field import converted
from carpsidecar.config.group import HOOKS, GroupConfig, check_together, resolve_group
from carpsidecar.config.load_balancer import ServiceAddresses, check_beside, resolve_load_balancer
from carpsidecar.config.passphrase import PASSPHRASE_FIELDS
from carpsidecar.config.reporter import reporter_document, resolve_reporter
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
from carpsidecar.config.trust import changeable, changeable_commands, readable
from carpsidecar.ipc.settings import ReporterSettings

ENVIRONMENT_PREFIX = "CARP_"
CONFIG_VARIABLE = "CARP_CONFIG"

_ONE_GROUP_ONLY = ("vip", "vhid", "name")

Layer = Mapping[str, Given]


class Config(Struct, frozen=True):
    """All that a run needs to know."""

    groups: tuple[GroupConfig, ...]
    service_addresses: ServiceAddresses | None = None
    """For Services of type LoadBalancer; None: there are none."""
    log_format: schema.LogFormat = schema.Log().log_format
    log_level: schema.LogLevel = schema.Log().log_level
    realtime: bool = schema.Engine().realtime
    reporter_socket: str | None = None
    """Where a reporter may connect; None: the engine starts its own."""
    reporter: ReporterSettings | None = None
    """None: none is to be started."""
    document: Mapping[str, Any] = {}
    """What all of it comes to, as a file could say it, without the passphrase itself."""
    warnings: tuple[str, ...] = ()

    @property
    def passphrase_files(self) -> list[str]:
        return [file for group in self.all_groups for file in group.passphrase.files]

    @property
    def all_groups(self) -> list[GroupConfig]:
        """Those, and what the groups of Services' addresses are like."""
        return [*self.groups, *(self.service_addresses.like.values() if self.service_addresses else ())]


def flag_name(name: str) -> str:
    return "--" + name.removesuffix("_s").replace("_", "-")


def variable_name(name: str) -> str:
    return ENVIRONMENT_PREFIX + name.removesuffix("_s").upper()


def load(
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    file: str | None = None,
    running: Mapping[str, Any] | None = None,
) -> Config:
    """Read and check everything.

    Args:
        flags: what the command line gave, by field; None means not given.
        file: the configuration file; the environment's CARP_CONFIG where it is None.
        running: instead of a file, what an engine runs with; then a passphrase that can't be had is a warning.

    Raises:
        ConfigError: something can't be used; one line that says what, where, and what to do.
    """
    path = file or environ.get(CONFIG_VARIABLE)
    if running is not None:
        path = None
        beside, listed, structures = _layers(dict(running), "the engine's configuration")
    else:
        beside, listed, structures = _read_file(Path(path)) if path else ({}, [{}], {})
    above = _override(_environment(environ), _flags(flags))
    if "load_balancer" in structures and listed == [{}] and "vip" not in {**beside, **above}:
        listed = []
    if len(listed) > 1:
        for name in _ONE_GROUP_ONLY:
            if name in above:
                raise ConfigError(f"{above[name].origin}: the file has {len(listed)} groups: set it there")
    process = _override(beside, above)
    for_all = _advskew_of_this_node(structures, process)
    groups, warnings = [], _warnings_of_file(path, [beside, *listed]) if path else []
    for layer in listed:
        given = {**_override(_override(beside, layer), above), **for_all, **_advskew_of_this_node(layer, process)}
        own = {name: value for name, value in given.items() if name in GROUP_FIELDS}
        group, more = resolve_group(own, needs_passphrase=running is None)
        groups.append(group)
        warnings += [line for line in more if line not in warnings]
    check_together(groups)
    services = None
    if "load_balancer" in structures:
        own = {name: value for name, value in process.items() if name in GROUP_FIELDS}
        services, more = resolve_load_balancer(structures["load_balancer"], own, needs_passphrase=running is None)
        check_beside(services, groups)
        warnings += [line for line in more if line not in warnings]
    engine = schema.Engine(**converted(ENGINE_FIELDS, process))
    log = schema.Log(**converted(LOG_FIELDS, process))
    reporter, reporter_given = resolve_reporter(
        {name: value for name, value in process.items() if name in REPORTER_FIELDS},
        structures.get("checks"),
        [group.name for group in groups],
        log,
        services,
    )
    for check in reporter.checks:
        if check.kind == "command":
            warnings += [f"check {check.name}: {problem}" for problem in changeable_commands(check.target)]
    if reporter.kubernetes is not None:
        awaits_peers = reporter.kubernetes.discover_peers
        groups = [replace(group, shows_agreement=True, awaits_peers=awaits_peers) for group in groups]
        if services is not None:
            services = services.awaiting_peers(awaits_peers)
    return Config(
        groups=tuple(groups),
        service_addresses=services,
        reporter=reporter,
        warnings=tuple(warnings),
        document={
            **asdict(engine),
            **asdict(log),
            **reporter_document(reporter, reporter_given),
            **(services.document() if services is not None else {}),
            **({"groups": [group.document() for group in groups]} if groups else {}),
        },
        **asdict(engine),
        **asdict(log),
    )


def reported(config: Config) -> dict[str, Any]:
    """What the configuration comes to, for the reporter: without defaults, and the arguments of commands."""
    groups = []
    for group, document in zip(config.groups, config.document.get("groups", ()), strict=True):
        own = {name: value for name, value in document.items() if value != GROUP_FIELDS[name].default}
        programs = {name: list(getattr(group.hooks, name)[:1]) for name in HOOKS if name in own}
        groups.append(own | programs)
    return {**config.document, **({"groups": groups} if groups else {})}


def _warnings_of_file(path: str, layers: list[Layer]) -> list[str]:
    problems = [changeable(path)]
    if any("passphrase" in layer for layer in layers):
        problems.append(readable(path, Path(path).stat()))
    return [problem for problem in problems if problem]


def _advskew_of_this_node(structures: Layer, process: Layer) -> Layer:
    """The advskew that `node_advskew`, of the file or of a group, has for this node, if any."""
    if "node_advskew" not in structures:
        return {}
    given = structures["node_advskew"]
    if not isinstance(given.value, dict):
        raise ConfigError(f"{given.origin}: {show(given.value)} can't be used: give each node's name an advskew")
    node = REPORTER_FIELDS["node_name"].convert(process["node_name"]) if "node_name" in process else ""
    advskews = {name: Given(value, f"{given.origin}.{name}") for name, value in given.value.items()}
    for advskew in advskews.values():
        GROUP_FIELDS["advskew"].convert(advskew)
    mine = advskews.get(node or socket.gethostname())
    return {"advskew": mine} if mine is not None else {}


def _override(below: Layer, above: Layer) -> Layer:
    """Both, where `above` wins; a passphrase given above, in whatever way, replaces the one below."""
    if any(name in above for name in PASSPHRASE_FIELDS):
        below = {name: value for name, value in below.items() if name not in PASSPHRASE_FIELDS}
    return {**below, **above}


def _flags(flags: Mapping[str, Any]) -> Layer:
    return {name: Given(value, flag_name(name)) for name, value in flags.items() if value is not None}


def _environment(environ: Mapping[str, str]) -> Layer:
    layer = {}
    for name, setting in (GROUP_FIELDS | PROCESS_FIELDS).items():
        variable = variable_name(name)
        text = environ.get(variable)
        # An empty variable is how Helm and systemd say "not set".
        if text:
            value = [part.strip() for part in text.split(",") if part.strip()] if setting.repeats else text
            layer[name] = Given(value, variable)
    return layer


def _read_file(path: Path) -> tuple[Layer, list[Layer], Layer]:
    from carpsidecar.config.yaml_file import read_mapping

    return _layers(read_mapping(path), path)


def _layers(content: dict[Any, Any], path: Path | str) -> tuple[Layer, list[Layer], Layer]:
    """What stands beside the groups, each group (one empty one where the file has no list), and the structures."""
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
    allowed = {**GROUP_FIELDS, "node_advskew": None}
    listed = [_layer(group, allowed, f"{path}: groups[{index}].") for index, group in enumerate(groups)]
    return beside, listed, structures


def _layer(content: Mapping[Any, Any], allowed: Mapping[str, Any], where: str) -> Layer:
    for name in content:
        if name not in allowed:
            shown = name if isinstance(name, str) and len(name) <= 40 else show(name)
            raise ConfigError(f"{where}{shown}: there is no such setting: see `carpsidecar config schema`")
    return {name: Given(value, where + name) for name, value in content.items() if value is not None}
