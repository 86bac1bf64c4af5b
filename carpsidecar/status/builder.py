"""Makes the model of what this node knows, from the engine's messages and what the reporter counts."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from carpsidecar import __version__
from carpsidecar.ipc.messages import GroupCounters, GroupSnapshot, GroupState
from carpsidecar.linux.network_namespace import network_namespace
from carpsidecar.status.model import CheckResult, GroupStatus, NodeStatus, PodView, Transition
from carpsidecar.status.pods import as_known_here
from carpsidecar.status.state import State
from carpsidecar.status.stats import Stats

TRANSITIONS_MAX = 50
NOTICES_MAX = 20

_COUNTERS = (
    "advertisements_sent",
    "advertisements_failed",
    "advertisements_received",
    "lease_renewals",
    "lease_misses",
    "fence_renewals",
    "questions",
    "addresses_put_back",
    "foreign_claims",
)


class StatusBuilder:
    """Args:
    pid: of the engine.
    node: the name of this one.
    cluster: all pods of our kind, in Kubernetes.
    """

    def __init__(
        self,
        state: State,
        stats: Stats,
        pid: int,
        node: str,
        cluster: Callable[[], list[PodView]] | None = None,
    ) -> None:
        self._state = state
        self._stats = stats
        self._pid = pid
        self._network = network_namespace()
        self._node = node
        self._cluster = cluster

    def build(self, group: str | None = None, answers: bool | None = None) -> NodeStatus:
        """Of this group, or of all; `answers` where it is known better than by the last heartbeat."""
        state, checks = self._state, self._stats.checks
        return NodeStatus(
            software=__version__,
            pid=self._pid,
            network=self._network,
            node=self._node,
            now_s=time.time(),
            answers=state.engine_alive if answers is None else answers,
            silent_s=state.engine_silent_s,
            groups=[self._group(one) for one in state.groups.values() if group in (None, one.group)],
            drops={
                interface: found
                for interface, drops in state.drops.items()
                if (found := {reason: count for reason, count in drops.items() if count})
            },
            checks=[
                CheckResult(name, healthy, checks.results[(name, "good")], checks.results[(name, "bad")])
                for name, healthy in checks.healthy.items()
            ],
            pods=None
            if self._cluster is None
            else as_known_here(self._cluster(), state.groups, self._node, state.engine_alive),
            services=None if self._stats.services is None else self._stats.services(),
            api_reachable=None if self._cluster is None else self._stats.api.reachable,
            api_silent_s=None if self._cluster is None else self._stats.api.silent_s,
            transitions=[
                Transition(entered.since_s, entered.group, entered.role, entered.reason)
                for entered in _newest(state.transitions, TRANSITIONS_MAX)
            ],
            notices=_newest(state.notices, NOTICES_MAX),
        )

    def _group(self, snapshot: GroupSnapshot) -> GroupStatus:
        state = {name: getattr(snapshot, name) for name in GroupState.__struct_fields__}
        count = self._state.counters.get(snapshot.group)
        lease_left_s = count.lease_left_s if count else None
        if lease_left_s is not None:
            lease_left_s = max(0.0, lease_left_s - self._state.counted_s_ago(snapshot.group))
            if not lease_left_s and snapshot.services:
                lease_left_s = None  # theirs are not counted each second
        peers = count.peers if count else {}
        heard_s = count.members_heard_s if count else {}
        state["members"] = [
            replace(member, heard_s=max(member.heard_s, heard_s.get(member.sources[0], 0.0)))
            for member in snapshot.members
        ]
        return GroupStatus(
            **state,
            interval_s=snapshot.advbase + snapshot.advskew_advertised / 256,
            lease_left_s=lease_left_s,
            master_advertised_s=count.master_advertised_s if count else None,
            peers=dict(sorted(peers.items(), key=lambda peer: -peer[1].heard_s)),
            counters=_counters(count) if count else {},
            split_brain=snapshot.group in self._stats.api.split_brain,
            problems=[f"{snapshot.drift}: replace the pod for it"] if snapshot.drift else [],
        )


def _counters(count: GroupCounters) -> dict[str, int]:
    counted = {name: getattr(count, name) for name in _COUNTERS}
    counted["transitions"] = sum(sum(reasons.values()) for reasons in count.transitions.values())
    counted |= {f"hooks_{result}": number for result, number in count.hooks.items()}
    return {name: number for name, number in counted.items() if number}


_Thing = TypeVar("_Thing")


def _newest(things: Sequence[_Thing], at_most: int) -> list[_Thing]:
    return list(reversed(things))[:at_most]
