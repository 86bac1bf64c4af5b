"""What the reporter is to do, by the configuration."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec.structs import asdict

from carpsidecar import __version__
from carpsidecar.config import schema
from carpsidecar.config.field import converted, mapping
from carpsidecar.config.load_balancer import ServiceAddresses
from carpsidecar.config.schema import CHECK_FIELDS, REPORTER_FIELDS, ConfigError, Given, show
from carpsidecar.ipc.settings import Check, KubernetesSettings, ReporterSettings

CHECKS_MAX = 32
_WITHOUT_KUBERNETES = ("http", "kubernetes", "pod_name", "pod_namespace", "node_name")


def resolve_reporter(
    given: Mapping[str, Given],
    checks: Given | None,
    groups: Sequence[str],
    log: schema.Log,
    services: ServiceAddresses | None = None,
) -> tuple[ReporterSettings, schema.Reporter]:
    """Make the reporter's settings of what was given; with them, these by the names of the file.

    Args:
        checks: the list of them, as the file has it.
        groups: the names of all groups.
        services: addresses for Services of type LoadBalancer.

    Raises:
        ConfigError: a value is missing or can't be used.
    """
    values = schema.Reporter(**converted(REPORTER_FIELDS, given))
    if not values.kubernetes:
        if services is not None:
            raise ConfigError("load_balancer: kubernetes is off: turn it on, or leave this out")
        for name in REPORTER_FIELDS:
            if getattr(values, name) and name not in _WITHOUT_KUBERNETES:
                raise ConfigError(f"{given[name].origin}: kubernetes is off: turn it on, or leave this out")
    if values.http is not None:
        _check_listen(given["http"], values.http)
    settings = ReporterSettings(
        software=__version__,
        log_format=log.log_format,
        log_level=log.log_level,
        http=values.http or "",
        checks=_checks(checks, groups) if checks is not None else [],
        kubernetes=_kubernetes(given, values, services) if values.kubernetes else None,
    )
    return settings, values


def _kubernetes(
    given: Mapping[str, Given], values: schema.Reporter, services: ServiceAddresses | None
) -> KubernetesSettings:
    for name in ("pod_name", "pod_namespace"):
        if getattr(values, name) is None:
            raise ConfigError(f"{name}: none is given: {REPORTER_FIELDS[name].remedy}, as CARP_{name.upper()}")
    if services is not None:
        for name in ("node_name", "pod_selector"):
            if getattr(values, name) is None:
                raise ConfigError(f"load_balancer: {name} is not given: {REPORTER_FIELDS[name].remedy}")
    for name in ("cordon_demotion", "advskew_label", "workload_selector"):
        if getattr(values, name) and values.node_name is None:
            raise ConfigError(
                f"{given[name].origin}: node_name is not given: {REPORTER_FIELDS['node_name'].remedy},"
                " as CARP_NODE_NAME"
            )
    if values.discover_peers and values.pod_selector is None:
        raise ConfigError(f"{given['discover_peers'].origin}: pod_selector is not given: give our pods' labels")
    namespaces = values.workload_namespace or []
    return KubernetesSettings(
        workload_namespaces=[namespaces] if isinstance(namespaces, str) else namespaces,
        load_balancer=services.reported() if services is not None else None,
        **{
            name: value
            for name, value in asdict(values).items()
            if name in KubernetesSettings.__struct_fields__ and value is not None
        },
    )


def reporter_document(settings: ReporterSettings, values: schema.Reporter) -> dict[str, Any]:
    """As a file could say it; only what is not the default."""
    changed = {name: value for name, value in asdict(values).items() if value != REPORTER_FIELDS[name].default}
    checks = [_check_document(check) for check in settings.checks]
    return {**changed, "checks": checks} if checks else changed


def _check_document(check: Check) -> dict[str, Any]:
    content = {name: value for name, value in asdict(check).items() if value is not None}
    kind, target = content.pop("kind"), content.pop("target")
    return {**content, kind: target if kind == "command" else target[0]}


def _check_listen(given: Given, value: str) -> None:
    host, _, port = value.rpartition(":")
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        raise REPORTER_FIELDS["http"].error(given) from None
    if not 0 < int(port) < 1 << 16:
        raise REPORTER_FIELDS["http"].error(given, "has no port from 1 to 65535")


def _checks(given: Given, groups: Sequence[str]) -> list[Check]:
    if not isinstance(given.value, list) or not all(isinstance(check, dict) for check in given.value):
        raise ConfigError(f"{given.origin}: {show(given.value)} can't be used: give a list of mappings")
    if len(given.value) > CHECKS_MAX:
        raise ConfigError(f"{given.origin}: {len(given.value)} checks: give at most {CHECKS_MAX}")
    checks: list[Check] = []
    for index, content in enumerate(given.value):
        where = f"{given.origin}[{index}]"
        check = _check(content, where)
        if any(other.name == check.name for other in checks):
            raise ConfigError(f"{where}.name: two checks are called {check.name!r}: give each its own")
        if check.group is not None and check.group not in groups:
            raise ConfigError(f"{where}.group: no group is called {check.group!r}: give one of {', '.join(groups)}")
        checks.append(check)
    return checks


def _check(content: Mapping[Any, Any], where: str) -> Check:
    values = converted(CHECK_FIELDS, mapping(Given(content, where), CHECK_FIELDS))
    if "name" not in values:
        raise ConfigError(f"{where}: it has no name: {CHECK_FIELDS['name'].remedy}")
    every: tuple[Literal["http", "tcp", "command"], ...] = ("http", "tcp", "command")
    targets = {kind: values.pop(kind) for kind in every if kind in values}
    if len(targets) != 1:
        raise ConfigError(f"{where}: give one of http, tcp and command")
    [(kind, target)] = targets.items()
    if kind == "command":
        given = Given(target, f"{where}.command")
        target = list(CHECK_FIELDS["command"].command(given))
        if not target:
            raise CHECK_FIELDS["command"].error(given)
    rest = asdict(schema.Check(**values))
    return Check(
        kind=kind,
        target=target if isinstance(target, list) else [target],
        **{name: value for name, value in rest.items() if name not in every},
    )
