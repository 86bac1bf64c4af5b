"""`kubectl carp status`: all nodes of a cluster in one table, and what does not fit together."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import Struct, field

from carpsidecar.cli.kubectl.access import Forbidden, Kubectl, Pod
from carpsidecar.cli.terminal import DIM, GREEN, RED, YELLOW, aligned, styled, takes_colour
from carpsidecar.status.formatting import plain, span
from carpsidecar.status.model import StatusDocument

_HEAD = ("NODE", "GROUP", "ROLE", "FOR", "ADDRESSES", "VERSION", "REASON")
_COLOURS = {"master": GREEN, "backup": "", "init": YELLOW, "fault": RED, "unknown": RED}
_COMPARED = ("vhid", "addresses", "advbase", "dead_ratio", "sync_group")
"""What all nodes of a group must have alike."""
NO_MASTER, FAULT = 3, 4


class Row(Struct, frozen=True):
    """One group on one node."""

    node: str
    group: str
    role: str
    for_s: float | None
    addresses: list[str]
    version: str
    reason: str
    services: list[str] = field(default_factory=list)
    """Whose address it is, as `namespace/name`."""
    settings: dict[str, object] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read(cluster: Kubectl, pods: Sequence[Pod]) -> tuple[list[Row], list[str]]:
    """What each node says, or its pod's labels where commands in pods are not allowed; and what went wrong."""
    rows: list[Row] = []
    problems: list[str] = []
    running = [pod for pod in pods if pod.running]
    problems += [f"{pod.node}: pod {pod.name} does not run" for pod in pods if not pod.running]
    try:
        for pod, ended in cluster.on_each(running, ["status", "--json"]):
            found = list(_of_node(pod, ended.stdout))
            if not found:
                problems.append(f"{pod.node}: {' '.join(ended.stderr.split()) or 'no engine replies'}")
            rows += found
    except Forbidden as error:
        problems.append(f"{error}; so this is what the pods' labels say")
        rows = [row for pod in running for row in _of_labels(pod)]
    return rows, problems


def _of_node(pod: Pod, said: str) -> Iterator[Row]:
    try:
        document = msgspec.json.decode(said, type=StatusDocument)
    except msgspec.DecodeError:
        return
    for engine in document.engines:
        for group in engine.groups:
            yield Row(
                node=pod.node,
                group=group.group,
                role=group.role,
                for_s=engine.now_s - group.since_s,
                addresses=group.addresses,
                version=engine.software,
                reason=group.reason,
                services=group.services,
                settings={name: getattr(group, name) for name in _COMPARED},
                problems=[*group.problems, *([] if engine.answers else ["the engine is silent"])],
            )


def _of_labels(pod: Pod) -> Iterator[Row]:
    since = pod.annotations.get("carpsidecar.io/since", "")
    for_s = None
    if since:
        began = datetime.fromisoformat(since.replace("Z", "+00:00"))
        for_s = time.time() - began.replace(tzinfo=began.tzinfo or UTC).timestamp()
    for group, role in pod.roles.items():
        addresses = pod.annotations.get("carpsidecar.io/addresses", "").replace(",", " ").split()
        version = pod.labels.get("app.kubernetes.io/version", "")
        reason = pod.annotations.get("carpsidecar.io/reason", "")
        yield Row(pod.node, group or "(first)", role, for_s, addresses, version, reason)


def overview(rows: Sequence[Row], problems: Sequence[str], *, group: str | None, as_json: bool) -> int:
    """Print it, and return the exit status."""
    rows = sorted(
        (row for row in rows if group in (None, row.group)),
        key=lambda row: (row.group, row.role != "master", row.node),
    )
    groups = {row.group: [other for other in rows if other.group == row.group] for row in rows}
    masters = {name: [row.node for row in members if row.role == "master"] for name, members in groups.items()}
    problems = [*problems, *(f"{row.node}: {row.group}: {text}" for row in rows for text in row.problems)]
    for name, members in groups.items():
        if len(masters[name]) > 1:
            problems.append(f"{name}: {len(masters[name])} masters: {', '.join(masters[name])}")
        if not masters[name]:
            problems.append(f"{name}: no master")
        problems += _differences(name, members)
    if as_json:
        print(json.dumps({"groups": [_document(row) for row in rows], "problems": problems}, indent=2))
    else:
        _print(rows, problems)
    if any(row.role == "fault" or row.problems for row in rows) or any(
        len(nodes) > 1 for nodes in masters.values()
    ):
        return FAULT
    if not rows or not all(masters.values()):
        return NO_MASTER
    return 0


def _differences(name: str, members: Sequence[Row]) -> Iterator[str]:
    for setting in ("version", *_COMPARED):
        nodes: dict[str, list[str]] = {}
        for row in members:
            value = row.version if setting == "version" else row.settings.get(setting)
            text = " ".join(value) if isinstance(value, list) else str(value)
            nodes.setdefault(text, []).append(row.node)
        if len(nodes) > 1:
            parts = (f"{text} on {', '.join(names)}" for text, names in nodes.items())
            yield f"{name}: {setting} differs: {'; '.join(parts)}"


def _document(row: Row) -> dict[str, object]:
    return {
        "node": row.node,
        "group": row.group,
        "role": row.role,
        "for_s": row.for_s,
        "addresses": row.addresses,
        "version": row.version,
        "reason": row.reason,
        "services": row.services,
    }


def _print(rows: Sequence[Row], problems: Sequence[str]) -> None:
    cells = [_HEAD, *(_cells(row) for row in rows)]
    colours = [DIM, *(_COLOURS.get(row.role, "") for row in rows)]
    for line, colour in zip(aligned(cells), colours, strict=True):
        text = "  ".join(line).rstrip()
        print(styled(text, colour) if takes_colour() else text)
    if not problems:
        print(f"\nAll is well on {len({row.node for row in rows})} nodes.")
    for number, problem in enumerate(problems):
        print(plain(problem) if number else f"\n{plain(problem)}", file=sys.stdout)


def _cells(row: Row) -> tuple[str, ...]:
    shown = (row.node, row.group, row.role, "" if row.for_s is None else span(row.for_s))
    addresses = " ".join([*row.addresses, *(f"({name})" for name in row.services)])
    return tuple(map(plain, (*shown, addresses, row.version, row.reason)))
