"""`/status.json`: all that the page shows. The classes here are its schema; docs/metrics.md describes it."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct
from prometheus_client.registry import Collector

from carpsidecar import __version__
from carpsidecar.ipc.messages import GroupSnapshot, Notice, Role
from carpsidecar.reporter.cluster import PodView
from carpsidecar.reporter.state import State
from carpsidecar.reporter.stats import Stats

VERSION = 1
TRANSITIONS_SHOWN = 50
NOTICES_SHOWN = 20


class Engine(Struct, frozen=True):
    alive: bool
    silent_s: float | None
    """Since its last heartbeat; null before the first."""


class Group(Struct, frozen=True):
    """Of this node. As `GroupSnapshot`, with the time at which the master was last heard."""

    group: str
    role: Role
    reason: str
    since_s: float
    interface: str
    vhid: int
    addresses: list[str]
    advbase: int
    advskew: int
    advskew_advertised: int
    demotions: dict[str, int]
    master: str | None
    master_advertised_s: float | None
    split_brain: bool
    """Kubernetes' API shows two masters of it."""


class Transition(Struct, frozen=True):
    at_s: float
    group: str
    role: Role
    reason: str


class Told(Struct, frozen=True):
    """A notice."""

    at_s: float
    kind: str
    group: str | None
    interface: str
    peer: str
    text: str


class CheckResult(Struct, frozen=True):
    name: str
    healthy: bool
    good: int
    bad: int


class Count(Struct, frozen=True):
    """A counter that is not zero, as in the metrics."""

    name: str
    labels: dict[str, str]
    value: float
    meaning: str


class Status(Struct, frozen=True):
    """Times are seconds since the epoch. A later version may have more fields; `version` rises when one changes."""

    version: int
    software: str
    node: str
    """This one: its name in Kubernetes, or its host name."""
    now_s: float
    engine: Engine
    groups: list[Group]
    pods: list[PodView] | None
    """Of all nodes; null outside Kubernetes."""
    api_reachable: bool | None
    """Whether Kubernetes' API answers; null outside Kubernetes."""
    checks: list[CheckResult]
    transitions: list[Transition]
    """The newest first."""
    notices: list[Told]
    """The newest first."""
    counters: list[Count]


class StatusReport:
    """Makes it.

    Args:
        cluster: all pods of our kind, in Kubernetes.
        metrics: where the counters are from.
        node: the name of this one.
    """

    def __init__(
        self,
        state: State,
        stats: Stats,
        cluster: Callable[[], list[PodView]] | None,
        metrics: Collector,
        node: str,
    ) -> None:
        self._state = state
        self._stats = stats
        self._cluster = cluster
        self._metrics = metrics
        self._node = node

    def render(self) -> bytes:
        return msgspec.json.encode(self.status())

    def status(self) -> Status:
        state, checks, api = self._state, self._stats.checks, self._stats.api
        return Status(
            version=VERSION,
            software=__version__,
            node=self._node,
            now_s=time.time(),
            engine=Engine(state.engine_alive, state.engine_silent_s),
            groups=[self._group(group) for group in state.groups.values()],
            pods=None if self._cluster is None else self._cluster(),
            api_reachable=None if self._cluster is None else api.reachable,
            checks=[
                CheckResult(name, healthy, checks.results[(name, "good")], checks.results[(name, "bad")])
                for name, healthy in checks.healthy.items()
            ],
            transitions=[
                Transition(entered.since_s, entered.group, entered.role, entered.reason)
                for entered in _newest(state.transitions, TRANSITIONS_SHOWN)
            ],
            notices=[
                Told(notice.at_s, notice.kind, notice.group, notice.interface, notice.peer, notice.text)
                for notice in _newest(state.notices, NOTICES_SHOWN)
            ],
            counters=self._counters(),
        )

    def _group(self, group: GroupSnapshot) -> Group:
        count = self._state.counters.get(group.group)
        return Group(
            group=group.group,
            role=group.role,
            reason=group.reason,
            since_s=group.since_s,
            interface=group.interface,
            vhid=group.vhid,
            addresses=group.addresses,
            advbase=group.advbase,
            advskew=group.advskew,
            advskew_advertised=group.advskew_advertised,
            demotions=group.demotions,
            master=group.master,
            master_advertised_s=count.master_advertised_s if count else None,
            split_brain=group.group in self._stats.api.split_brain,
        )

    def _counters(self) -> list[Count]:
        return [
            Count(sample.name, sample.labels, sample.value, metric.documentation)
            for metric in self._metrics.collect()
            if metric.type == "counter"
            for sample in metric.samples
            if sample.value
        ]


_Thing = TypeVar("_Thing", GroupSnapshot, Notice)


def _newest(things: Sequence[_Thing], at_most: int) -> list[_Thing]:
    return list(reversed(things))[:at_most]
