"""What is counted, for Prometheus. Names and meanings are listed in docs/metrics.md.

Everything is there from the start with zero where its labels are known, so that the first event is an increase too.
"""

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import get_args

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from carpsidecar import __version__
from carpsidecar.ipc.messages import GroupCommand, GroupCounters, GroupSnapshot, Role
from carpsidecar.status.model import ServiceView
from carpsidecar.status.state import State
from carpsidecar.status.stats import ApiFailure, ApiResource, ApiStats, CheckOutcome, CheckStats, Stats

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_COMMANDS = tuple(str(command.__struct_config__.tag) for command in get_args(GroupCommand))
SERVICES_MAX = 2000
"""Rows of a metric by Service."""
_HOOK_RESULTS = ("ok", "failed", "timeout", "skipped")

_Values = Iterable[tuple[tuple[str, ...], float]]


class Metrics(Collector):
    """All of them, in a registry of their own."""

    def __init__(self, state: State, stats: Stats, in_kubernetes: bool) -> None:
        self._state = state
        self._stats = stats
        self._in_kubernetes = in_kubernetes
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering does not collect."""
        return ()

    def collect(self) -> Iterator[Metric]:
        yield from self._engine()
        yield from self._groups()
        if self._stats.services is not None:
            yield from _services(self._alive_groups(), self._stats.services())
        counters = self._counters()
        for name, documentation, field in _COUNTERS:
            yield _counter(
                name,
                documentation,
                ("group",),
                (((group,), float(getattr(count, field))) for group, count in counters.items()),
            )
        yield from _by_label(counters, self._state.engine_alive)
        yield _counter(
            "carp_dropped_packets",
            "Packets of IP protocol 112 that were not taken, by reason.",
            ("interface", "reason"),
            _two_levels(self._state.drops),
        )
        yield from _checks(self._stats.checks)
        if self._in_kubernetes:
            groups = [name for name, group in self._state.groups.items() if not group.services]
            yield from _api(self._stats.api, groups)

    def _engine(self) -> Iterator[Metric]:
        yield _gauge(
            "carp_build_info",
            "1, with what runs here.",
            ("version", "python_version"),
            [((__version__, platform.python_version()), 1)],
        )
        yield _gauge(
            "carp_engine_up", "Whether the engine's heartbeat is heard.", (), [((), self._state.engine_alive)]
        )
        silent_s = self._state.engine_silent_s
        yield _gauge(
            "carp_engine_heartbeat_age_seconds",
            "Time since the engine's last heartbeat; one comes each second.",
            (),
            [] if silent_s is None else [((), silent_s)],
        )
        yield _counter(
            "carp_bad_messages",
            "Messages between engine and reporter that could not be read.",
            (),
            [((), self._state.bad_messages)],
        )
        yield _counter(
            "carp_refused_commands",
            "Commands of the reporter that the configuration does not allow, by kind.",
            ("command",),
            [((kind,), self._state.refused_commands.get(kind, 0)) for kind in _COMMANDS],
        )

    def _alive_groups(self) -> list[GroupSnapshot]:
        """What a silent engine last reported may have ceased to hold."""
        return list(self._state.groups.values()) if self._state.engine_alive else []

    def _counters(self) -> dict[str, GroupCounters]:
        """Without those of addresses of Services, of which there may be hundreds."""
        groups = self._state.groups
        return {
            name: count
            for name, count in self._state.counters.items()
            if name not in groups or not groups[name].services
        }

    def _groups(self) -> Iterator[Metric]:
        groups = [group for group in self._alive_groups() if not group.services]
        yield _gauge(
            "carp_group_info",
            "1, with what the group is.",
            ("group", "interface", "vhid"),
            [((group.group, group.interface, str(group.vhid)), 1) for group in groups],
        )
        yield _gauge(
            "carp_role",
            "1 for the group's role, 0 for the others.",
            ("group", "role"),
            [((group.group, role), group.role == role) for group in groups for role in get_args(Role)],
        )
        yield _gauge(
            "carp_demotion",
            "What demotes, by cause.",
            ("group", "cause"),
            [((group.group, cause), amount) for group in groups for cause, amount in group.demotions.items()],
        )
        yield _gauge(
            "carp_members",
            "Other members of a hardened group, by the passphrase that they sign with: 1 signs ours too.",
            ("group", "key"),
            [
                ((group.group, str(key)), count)
                for group in groups
                for key, count in sorted(Counter(member.key for member in group.members).items())
            ],
        )
        for name, documentation, value in _GAUGES:
            yield _gauge(
                name,
                documentation,
                ("group",),
                [((group.group,), number) for group in groups if (number := value(group)) is not None],
            )


_GAUGES: tuple[tuple[str, str, Callable[[GroupSnapshot], float | None]], ...] = (
    ("carp_role_since_timestamp_seconds", "When the group entered its role.", lambda group: group.since_s),
    (
        "carp_advertisement_interval_seconds",
        "Time between two advertisements of this node, were it master.",
        lambda group: group.advbase + group.advskew_advertised / 256,
    ),
    ("carp_advskew", "The advskew that is configured.", lambda group: group.advskew),
    ("carp_advertised_advskew", "The advskew with all demotions.", lambda group: group.advskew_advertised),
    (
        "carp_config_drift",
        "Whether the configuration on disk can't be put into force without a restart.",
        lambda group: bool(group.drift),
    ),
    (
        "carp_fenced",
        "Whether the group has the fence that it wants.",
        lambda group: group.fenced if group.fenced or group.fence_lacking else None,
    ),
    (
        "carp_config_differs",
        "Members of a hardened group that have other addresses than this node.",
        lambda group: sum(not member.agrees for member in group.members),
    ),
)
"""Name, meaning, and what it is of a group; None where it is not to be shown."""
_COUNTERS = (
    ("carp_advertisements_sent", "Advertisements that left.", "advertisements_sent"),
    ("carp_advertisement_failures", "Advertisements that could not be sent.", "advertisements_failed"),
    (
        "carp_advertisements_received",
        "Valid advertisements of the group that were heard.",
        "advertisements_received",
    ),
    ("carp_lease_renewals", "Times that the lease of the addresses was renewed in the kernel.", "lease_renewals"),
    ("carp_lease_misses", "Times that the lease ran out before it was renewed.", "lease_misses"),
    (
        "carp_fence_renewals",
        "Times that the fence was given a new time until which the addresses are heard.",
        "fence_renewals",
    ),
    ("carp_questions", "ARP and NDP questions of this node, who has an address of the group.", "questions"),
    ("carp_addresses_put_back", "Addresses that somebody removed from the master, put back.", "addresses_put_back"),
    ("carp_foreign_claims", "ARP and NDP claims of the group's addresses by other machines.", "foreign_claims"),
)
"""Name without `_total`, meaning, and the field of GroupCounters."""


def _by_label(counters: Mapping[str, GroupCounters], engine_alive: bool) -> Iterator[Metric]:
    yield _counter(
        "carp_transitions",
        "Times that a role was entered, by role and reason.",
        ("group", "role", "reason"),
        (
            ((group, role, reason), times)
            for group, count in counters.items()
            for role, reasons in count.transitions.items()
            for reason, times in reasons.items()
        ),
    )
    yield _counter(
        "carp_hook_runs",
        "Commands of the group that were run, by result.",
        ("group", "result"),
        _two_levels(
            {group: {**dict.fromkeys(_HOOK_RESULTS, 0), **count.hooks} for group, count in counters.items()}
        ),
    )
    yield _gauge(
        "carp_master_last_advertisement_timestamp_seconds",
        "When the master's last advertisement was heard, or sent where this node is master.",
        ("group",),
        [
            ((group,), count.master_advertised_s)
            for group, count in counters.items()
            if count.master_advertised_s is not None and engine_alive
        ],
    )


def _services(groups: Iterable[GroupSnapshot], services: Iterable[ServiceView]) -> Iterator[Metric]:
    addresses = [group for group in groups if group.services]
    yield _gauge(
        "carp_service_addresses",
        "Addresses of Services of type LoadBalancer, by this node's role.",
        ("role",),
        [((role,), sum(group.role == role for group in addresses)) for role in get_args(Role)],
    )
    yield _gauge(
        "carp_service_master",
        "Whether this node is master of an address of the Service; of very many, the first.",
        ("namespace", "service", "address"),
        [
            ((*_names(service), ip.partition("/")[0]), group.role == "master")
            for group in addresses
            for ip in group.addresses
            for service in group.services
        ][:SERVICES_MAX],
    )
    yield _gauge(
        "carp_service_allocated",
        "Whether the Service has all the addresses that it is to have; of very many, the first.",
        ("namespace", "service"),
        [(_names(view.service), view.allocated) for view in services][:SERVICES_MAX],
    )


def _names(service: str) -> tuple[str, str]:
    namespace, _, name = service.partition("/")
    return namespace, name


def _checks(stats: CheckStats) -> Iterator[Metric]:
    yield _gauge(
        "carp_check_healthy",
        "Whether the health check's service counts as healthy.",
        ("check",),
        [((name,), healthy) for name, healthy in stats.healthy.items()],
    )
    yield _counter(
        "carp_check_results",
        "Runs of the health check, by result.",
        ("check", "result"),
        [
            ((name, result), stats.results[(name, result)])
            for name in stats.healthy
            for result in get_args(CheckOutcome)
        ],
    )


def _api(stats: ApiStats, groups: Iterable[str]) -> Iterator[Metric]:
    yield _gauge(
        "carp_api_reachable", "Whether Kubernetes' API answered the last request.", (), [((), stats.reachable)]
    )
    yield _gauge(
        "carp_api_unwritten_seconds",
        "Age of the oldest change of a role that could not be written to Kubernetes' API; 0: all are written.",
        (),
        [((), stats.unwritten_s())],
    )
    yield _counter(
        "carp_api_writes",
        "Writes to Kubernetes' API that succeeded, by resource.",
        ("resource",),
        [((resource,), stats.writes[resource]) for resource in get_args(ApiResource)],
    )
    yield _counter(
        "carp_api_failures",
        "Requests to Kubernetes' API that failed, by reason.",
        ("reason",),
        [((reason,), stats.failures[reason]) for reason in get_args(ApiFailure)],
    )
    yield _gauge(
        "carp_split_brain",
        "Whether another pod is master too, as Kubernetes' API shows.",
        ("group",),
        [((group,), group in stats.split_brain) for group in groups],
    )


def _two_levels(values: Mapping[str, Mapping[str, int]]) -> _Values:
    return [((outer, inner), value) for outer, row in values.items() for inner, value in row.items()]


def _gauge(name: str, documentation: str, labels: tuple[str, ...], values: _Values) -> Metric:
    return _filled(GaugeMetricFamily(name, documentation, labels=labels), values)


def _counter(name: str, documentation: str, labels: tuple[str, ...], values: _Values) -> Metric:
    return _filled(CounterMetricFamily(name, documentation, labels=labels), values)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: _Values) -> Metric:
    for label_values, value in values:
        family.add_metric(label_values, float(value))
    return family
