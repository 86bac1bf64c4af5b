"""What a pod is to carry, from what the engine says: pure functions, and the patch that leads there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from carpsidecar.ipc.messages import GroupSnapshot
from carpsidecar.reporter.kubernetes.objects import ANNOTATIONS, ELECTED, ROLE_LABEL, Condition, Pod

UNKNOWN = "unknown"
_TEXT_MAX = 1000
_OWN_ANNOTATIONS = ("since", "reason", "addresses")


@dataclass(frozen=True)
class Marks:
    """Labels, annotations and conditions, by name; `since` is when the conditions began, by their name."""

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    since: Mapping[str, str] = field(default_factory=dict)


NOTHING = Marks()


def suffixes(groups: Iterable[str]) -> dict[str, str]:
    """What follows each group's names: nothing for the first one, `-<group>` for any other."""
    return {group: f"-{group}" if number else "" for number, group in enumerate(groups)}


def own(groups: Sequence[GroupSnapshot]) -> Marks:
    """What our own pod is to carry."""
    carried = workload(groups)
    annotations = {}
    for group, suffix in zip(groups, suffixes(group.group for group in groups).values(), strict=True):
        annotations[f"{ANNOTATIONS}since{suffix}"] = in_rfc3339(group.since_s)
        annotations[f"{ANNOTATIONS}reason{suffix}"] = reason_in_words(group)
        annotations[f"{ANNOTATIONS}addresses{suffix}"] = ",".join(group.addresses)
    return Marks(carried.labels, annotations, carried.conditions, carried.since)


def workload(groups: Sequence[GroupSnapshot]) -> Marks:
    """What a workload pod of this node is to carry."""
    labels, conditions, since = {}, {}, {}
    for group, suffix in zip(groups, suffixes(group.group for group in groups).values(), strict=True):
        labels[ROLE_LABEL + suffix] = group.role
        status = "True" if group.role == "master" else "False"
        conditions[ELECTED + suffix] = Condition(status, group.role.capitalize(), reason_in_words(group))
        since[ELECTED + suffix] = in_rfc3339(group.since_s)
    return Marks(labels, {}, conditions, since)


def unknown(pod: Pod, suffix: str, why: str, now_s: float) -> Marks:
    """What a pod is to carry whose master's claim is out of date: the rest stays as it is."""
    annotations = dict(pod.annotations)
    if f"{ANNOTATIONS}since{suffix}" in annotations:
        annotations[f"{ANNOTATIONS}reason{suffix}"] = why
    condition = ELECTED + suffix
    return Marks(
        {**pod.labels, ROLE_LABEL + suffix: UNKNOWN},
        annotations,
        {**pod.conditions, condition: Condition("Unknown", "Unknown", why)},
        {condition: in_rfc3339(now_s)},
    )


def patch(pod: Pod, wanted: Marks) -> dict[str, Any] | None:
    """A strategic merge patch of the pod's status subresource; None where there is nothing to change.

    It holds only for the version of the pod that it was made for: an old one whose request arrives late is refused.
    """
    metadata: dict[str, Any] = {}
    if labels := _changed(pod.labels, wanted.labels, filter(_is_own_label, pod.labels)):
        metadata["labels"] = labels
    if annotations := _changed(pod.annotations, wanted.annotations, filter(_is_own_annotation, pod.annotations)):
        metadata["annotations"] = annotations
    conditions: list[dict[str, str]] = []
    for name, condition in wanted.conditions.items():
        before = pod.conditions.get(name)
        if before == condition:
            continue
        entry = {"type": name, "status": condition.status, "reason": condition.reason, "message": condition.message}
        if before is None or before.status != condition.status:
            entry["lastTransitionTime"] = wanted.since[name]
        conditions.append(entry)
    conditions += [{"type": name, "$patch": "delete"} for name in pod.conditions if name not in wanted.conditions]
    if not metadata and not conditions:
        return None
    body: dict[str, Any] = {"metadata": {"resourceVersion": pod.version, **metadata}}
    if conditions:
        body["status"] = {"conditions": conditions}
    return body


def reason_in_words(group: GroupSnapshot) -> str:
    """Why it has its role, and what demotes it meanwhile."""
    causes = ", ".join(f"{cause} ({amount})" for cause, amount in sorted(group.demotions.items()))
    return f"{group.reason}; demoted: {causes}"[:_TEXT_MAX] if causes else group.reason[:_TEXT_MAX]


def in_rfc3339(time_s: float) -> str:
    """In UTC, to the microsecond; of one length, so that it sorts as text."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _changed(before: Mapping[str, str], wanted: Mapping[str, str], own: Iterable[str]) -> dict[str, str | None]:
    changes: dict[str, str | None] = {name: None for name in own if name not in wanted}
    return changes | {name: value for name, value in wanted.items() if before.get(name) != value}


def _is_own_label(name: str) -> bool:
    return name == ROLE_LABEL or name.startswith(ROLE_LABEL + "-")


def _is_own_annotation(name: str) -> bool:
    word = name.removeprefix(ANNOTATIONS)
    return word in _OWN_ANNOTATIONS or word.startswith(tuple(f"{own}-" for own in _OWN_ANNOTATIONS))
