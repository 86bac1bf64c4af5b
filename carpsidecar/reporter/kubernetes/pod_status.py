"""The labels, annotations and conditions of a pod that are ours: observed, desired, and the patch between them.

Pure functions.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from carpsidecar.ipc.messages import GroupSnapshot
from carpsidecar.reporter.kubernetes.objects import ANNOTATIONS, ELECTED, ROLE_LABEL, Condition, Pod
from carpsidecar.status.model import PodView

UNKNOWN = "unknown"
_NOTHING: Mapping[str, str] = {}
_TEXT_MAX = 1000
CONTESTED = "contested"
WORKLOAD = "workload"
"""The annotation that says whether the node has a workload pod, and a ready one."""
AGREEMENT = "agreement"
_OWN_ANNOTATIONS = ("since", "reason", "addresses", AGREEMENT, CONTESTED, WORKLOAD)


@dataclass(frozen=True)
class PodStatus:
    """By name; `since` is when the conditions began, by their name, and plays no part in a comparison."""

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    since: Mapping[str, str] = field(default_factory=dict, compare=False)


NO_STATUS = PodStatus()


def suffixes(groups: Iterable[str]) -> dict[str, str]:
    """What follows each group's names: nothing for the first one, `-<group>` for any other."""
    return {group: f"-{group}" if number else "" for number, group in enumerate(groups)}


def observed(pod: Pod) -> PodStatus:
    return PodStatus(
        {name: value for name, value in pod.labels.items() if _is_own_label(name)},
        {name: value for name, value in pod.annotations.items() if _is_own_annotation(name)},
        pod.conditions,
    )


def desired_of_own_pod(
    groups: Sequence[GroupSnapshot], contested: Mapping[str, str] = _NOTHING, workload: str = ""
) -> PodStatus:
    """Args:
    contested: the groups in which we are master and do not claim it, with the reason.
    workload: of this node; empty where there is no selector for it.
    """
    status = desired_of_workload_pod(groups, contested)
    annotations = {f"{ANNOTATIONS}{WORKLOAD}": workload} if workload else {}
    for group, suffix in zip(groups, suffixes(group.group for group in groups).values(), strict=True):
        annotations[f"{ANNOTATIONS}since{suffix}"] = in_rfc3339(group.since_s)
        annotations[f"{ANNOTATIONS}reason{suffix}"] = reason_of(group)
        annotations[f"{ANNOTATIONS}addresses{suffix}"] = ",".join(group.addresses)
        if group.agreement:
            annotations[f"{ANNOTATIONS}{AGREEMENT}{suffix}"] = group.agreement
        if group.group in contested:
            annotations[f"{ANNOTATIONS}{CONTESTED}{suffix}"] = contested[group.group]
    return PodStatus(status.labels, annotations, status.conditions, status.since)


def desired_of_workload_pod(groups: Sequence[GroupSnapshot], contested: Mapping[str, str] = _NOTHING) -> PodStatus:
    """Of one on this node."""
    labels, conditions, since = {}, {}, {}
    for group, suffix in zip(groups, suffixes(group.group for group in groups).values(), strict=True):
        if group.group in contested:
            labels[ROLE_LABEL + suffix] = UNKNOWN
            conditions[ELECTED + suffix] = Condition("Unknown", "Contested", contested[group.group])
        else:
            labels[ROLE_LABEL + suffix] = group.role
            status = "True" if group.role == "master" else "False"
            conditions[ELECTED + suffix] = Condition(status, group.role.capitalize(), reason_of(group))
        since[ELECTED + suffix] = in_rfc3339(group.since_s)
    return PodStatus(labels, {}, conditions, since)


def unknown(pod: Pod, suffix: str, reason: str, now_s: float) -> PodStatus:
    """Of a pod whose claim to be master is out of date: the rest stays as it is."""
    before = observed(pod)
    annotations = dict(before.annotations)
    if f"{ANNOTATIONS}since{suffix}" in annotations:
        annotations[f"{ANNOTATIONS}reason{suffix}"] = reason
    condition = ELECTED + suffix
    return PodStatus(
        {**before.labels, ROLE_LABEL + suffix: UNKNOWN},
        annotations,
        {**before.conditions, condition: Condition("Unknown", "Unknown", reason)},
        {condition: in_rfc3339(now_s)},
    )


def patch(pod: Pod, desired: PodStatus) -> dict[str, Any] | None:
    """A strategic merge patch of the pod's status subresource; None where there is nothing to change.

    It holds only for the version of the pod that it was made for: an old one whose request arrives late is refused.
    """
    before = observed(pod)
    if before == desired:
        return None
    metadata: dict[str, Any] = {"resourceVersion": pod.version}
    if labels := _changes(before.labels, desired.labels):
        metadata["labels"] = labels
    if annotations := _changes(before.annotations, desired.annotations):
        metadata["annotations"] = annotations
    conditions: list[dict[str, str]] = []
    for name, condition in desired.conditions.items():
        former = before.conditions.get(name)
        if former == condition:
            continue
        entry = {"type": name, "status": condition.status, "reason": condition.reason, "message": condition.message}
        if former is None or former.status != condition.status:
            entry["lastTransitionTime"] = desired.since[name]
        conditions.append(entry)
    conditions += [
        {"type": name, "$patch": "delete"} for name in before.conditions if name not in desired.conditions
    ]
    return {"metadata": metadata, "status": {"conditions": conditions}} if conditions else {"metadata": metadata}


def reason_of(group: GroupSnapshot) -> str:
    """Why it has its role, and what demotes it meanwhile."""
    causes = ", ".join(f"{cause} ({amount})" for cause, amount in sorted(group.demotions.items()))
    return f"{group.reason}; demoted: {causes}"[:_TEXT_MAX] if causes else group.reason[:_TEXT_MAX]


def in_rfc3339(time_s: float) -> str:
    """In UTC, to the microsecond; of one length, so that it sorts as text."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def view(pod: Pod, suffixes: Mapping[str, str]) -> PodView:
    """For the status page."""
    first = next(iter(suffixes), "")
    roles = {
        label.removeprefix(f"{ROLE_LABEL}-") if label != ROLE_LABEL else first: role
        for label, role in sorted(pod.labels.items())
        if _is_own_label(label)
    }
    return PodView(
        name=pod.name,
        node=pod.node,
        roles=roles,
        reason=pod.annotations.get(f"{ANNOTATIONS}reason", ""),
        since=pod.annotations.get(f"{ANNOTATIONS}since", ""),
        ready=pod.ready,
        alive=is_alive(pod),
        addresses=list(pod.host_ips),
    )


def is_alive(pod: Pod) -> bool:
    """As far as Kubernetes knows, and no new master marked it."""
    if pod.phase != "Running" or UNKNOWN in pod.labels.values():
        return False
    # Where a node is lost, Kubernetes takes back the pod's readiness and leaves that of its containers.
    gated = any(condition.status != "True" for name, condition in pod.conditions.items() if name == ELECTED)
    return pod.ready or gated or not pod.containers_ready


def _changes(before: Mapping[str, str], desired: Mapping[str, str]) -> dict[str, str | None]:
    changes: dict[str, str | None] = {name: None for name in before if name not in desired}
    return changes | {name: value for name, value in desired.items() if before.get(name) != value}


def _is_own_label(name: str) -> bool:
    return name == ROLE_LABEL or name.startswith(ROLE_LABEL + "-")


def _is_own_annotation(name: str) -> bool:
    name = name.removeprefix(ANNOTATIONS)
    return name in _OWN_ANNOTATIONS or name.startswith(tuple(f"{own}-" for own in _OWN_ANNOTATIONS))
