"""What the reporter is to do, as the configuration says it."""

import ipaddress
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from carpsidecar import __version__
from carpsidecar.config.schema import CHECK_FIELDS, REPORTER_FIELDS, ConfigError, Given, show
from carpsidecar.ipc.messages import Check, KubernetesSettings, ReporterSettings

CHECKS_MAX = 32
_KUBERNETES_ONLY = (
    "kubeconfig",
    "pod_selector",
    "workload_selector",
    "workload_namespace",
    "unready_demotion",
    "cordon_demotion",
    "advskew_label",
    "discover_peers",
)


def resolve_reporter(
    given: Mapping[str, Given], checks: Given | None, groups: Sequence[str], log_format: str, log_level: str
) -> ReporterSettings:
    """Make the reporter's settings of what was given.

    Args:
        checks: the list of them, as the file has it.
        groups: the names of all groups.

    Raises:
        ConfigError: a value is missing or can't be used.
    """
    values = {name: field.convert(given[name]) for name, field in REPORTER_FIELDS.items() if name in given}
    kubernetes = _kubernetes(given, values) if values.get("kubernetes") else None
    if kubernetes is None:
        for name in _KUBERNETES_ONLY:
            if values.get(name):
                raise ConfigError(f"{given[name].origin}: kubernetes is off: turn it on, or leave this out")
    if "http" in given:
        _check_listen(given["http"], values["http"])
    return ReporterSettings(
        software=__version__,
        log_format=log_format,
        log_level=log_level,
        http=values.get("http", ""),
        checks=_checks(checks, groups) if checks is not None else [],
        kubernetes=kubernetes,
    )


def _kubernetes(given: Mapping[str, Given], values: Mapping[str, Any]) -> KubernetesSettings:
    for name in ("pod_name", "pod_namespace"):
        if name not in values:
            raise ConfigError(f"{name}: none is given: {REPORTER_FIELDS[name].remedy}, as CARP_{name.upper()}")
    for name in ("cordon_demotion", "advskew_label", "workload_selector"):
        if values.get(name) and "node_name" not in values:
            raise ConfigError(
                f"{given[name].origin}: node_name is not given: {REPORTER_FIELDS['node_name'].remedy},"
                " as CARP_NODE_NAME"
            )
    if values.get("discover_peers") and "pod_selector" not in values:
        raise ConfigError(f"{given['discover_peers'].origin}: pod_selector is not given: give our pods' labels")
    namespaces = values.get("workload_namespace", [])
    return KubernetesSettings(
        pod_name=values["pod_name"],
        pod_namespace=values["pod_namespace"],
        workload_namespaces=[namespaces] if isinstance(namespaces, str) else namespaces,
        **{
            name: values[name]
            for name in (*_KUBERNETES_ONLY, "node_name")
            if name in values and name != "workload_namespace"
        },
    )


def _check_listen(given: Given, value: str) -> None:
    host, _, port = value.rpartition(":")
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        raise REPORTER_FIELDS["http"].misfit(given) from None
    if not 0 < int(port) < 1 << 16:
        raise REPORTER_FIELDS["http"].misfit(given, "has no port from 1 to 65535")


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
    values = {}
    for name, value in content.items():
        if name not in CHECK_FIELDS:
            raise ConfigError(f"{where}: there is no such setting as {show(name)}: see `carpsidecar config schema`")
        if value is not None:
            values[name] = CHECK_FIELDS[name].convert(Given(value, f"{where}.{name}"))
    if "name" not in values:
        raise ConfigError(f"{where}: it has no name: {CHECK_FIELDS['name'].remedy}")
    every: tuple[Literal["http", "tcp", "command"], ...] = ("http", "tcp", "command")
    kinds = [kind for kind in every if kind in values]
    if len(kinds) != 1:
        raise ConfigError(f"{where}: give one of http, tcp and command")
    (kind,) = kinds
    target = values.pop(kind)
    if kind == "command":
        target = _words(target, f"{where}.command")
    return Check(
        kind=kind,
        target=target if isinstance(target, list) else [target],
        **{"interval_s": 2.0, "timeout_s": 2.0, "rise": 2, "fall": 3, "demotion": 240, **values},
    )


def _words(command: str | list[str], where: str) -> list[str]:
    field = CHECK_FIELDS["command"]
    try:
        words = command if isinstance(command, list) else shlex.split(command)
    except ValueError:
        raise field.misfit(Given(command, where)) from None
    if not words or any("\0" in word for word in words):
        raise field.misfit(Given(command, where))
    return words
