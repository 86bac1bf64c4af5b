"""What a node knows of all pods: its own from its engine, the others' by the wire before the API."""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from carpsidecar.ipc.messages import GroupSnapshot
from carpsidecar.status.model import PodView

UNKNOWN = "unknown"


def as_known_here(
    pods: Iterable[PodView], groups: Mapping[str, GroupSnapshot], node: str, engine_alive: bool
) -> list[PodView]:
    """The API may be late, or away: an engine that lives is right about its own node, and about who is master."""
    pods = list(pods)
    masters = {
        name: [pod.name for pod in pods if pod.node == node]
        if group.role == "master"
        else [pod.name for pod in pods if group.master in pod.addresses]
        for name, group in groups.items()
        if engine_alive
    }
    # An address that no pod has may be one of theirs on another network: then the API is all there is.
    known = {name: found[0] for name, found in masters.items() if found}
    return [_own(pod, groups, engine_alive) if pod.node == node else _other(pod, known) for pod in pods]


def _own(pod: PodView, groups: Mapping[str, GroupSnapshot], engine_alive: bool) -> PodView:
    if not engine_alive:
        return replace(pod, roles=dict.fromkeys(pod.roles, UNKNOWN), alive=False)
    first = groups.get(next(iter(pod.roles), ""))
    reason = first.reason if first is not None else pod.reason
    return replace(pod, roles={name: group.role for name, group in groups.items()}, reason=reason, alive=True)


def _other(pod: PodView, masters: Mapping[str, str]) -> PodView:
    roles = dict(pod.roles)
    for name in roles.keys() & masters.keys():
        if masters[name] == pod.name:
            roles[name] = "master"
        elif roles[name] == "master":
            roles[name] = UNKNOWN
    return replace(pod, roles=roles)
