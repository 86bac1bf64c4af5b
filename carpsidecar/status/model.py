"""What a node knows, in one model: the control socket, `/status.json` and `carpsidecar status` all serve it.

docs/status-schema.json is made from the classes here. Times are seconds since the epoch, lengths of time seconds. A
later version may have more fields.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from carpsidecar.ipc.messages import GroupState, Notice, PeerHeard, Role

VERSION: Literal[1] = 1


class KernelView(Struct, kw_only=True, frozen=True):
    """What `carpsidecar status` itself finds in the kernel."""

    link: Literal["up", "down", "absent"]
    """Of the group's interface."""
    held: dict[str, float | None]
    """The addresses of the group that it has, and for how many seconds yet; null: for ever."""


class GroupStatus(GroupState, kw_only=True, frozen=True):
    interval_s: float
    """Between two advertisements of ours."""
    lease_left_s: float | None
    """How long the kernel holds the addresses yet if the engine does not renew them; null where it is no master."""
    master_advertised_s: float | None
    """When the master's last advertisement was heard, or sent where we are master."""
    peers: dict[str, PeerHeard]
    """The other nodes of the group by source address, the last heard first."""
    counters: dict[str, int]
    """Since the engine's start; those that are not zero."""
    split_brain: bool = False
    """Whether Kubernetes' API shows two masters of it."""
    kernel: KernelView | None = None
    """Null where it was not queried, or could not be: another network namespace."""
    problems: list[str] = field(default_factory=list)
    """What does not fit together, such as a master whose address the kernel does not have."""


class PodView(Struct, frozen=True):
    """One carpsidecar pod: as the API shows it, but for what this node's engine knows better."""

    name: str
    node: str
    roles: dict[str, str]
    """By group; `unknown` where it was that of a master and is none any more, as far as this node knows."""
    reason: str
    """Why it has its role."""
    since: str
    """When that began: RFC 3339, in UTC; empty where it is not known."""
    ready: bool
    alive: bool
    """False where it does not run, where a new master marked it as lost, and where Kubernetes took its readiness
    back though its containers are ready, as it does on a node that gives no sign of life."""
    addresses: list[str] = []
    """Of its node."""


class ServiceView(Struct, frozen=True):
    """A Service of type LoadBalancer of ours, as the API shows it."""

    service: str
    """`namespace/name`."""
    addresses: dict[str, str]
    """The node that holds each; empty where none does."""
    allocated: bool
    """Whether it has all the addresses that it is to have."""
    held: bool
    """Whether each is held by a node."""
    text: str
    """Since when and why, or what keeps it from it."""


class Transition(Struct, frozen=True):
    at_s: float
    group: str
    role: Role
    reason: str


class CheckResult(Struct, frozen=True):
    name: str
    healthy: bool
    good: int
    bad: int


class NodeStatus(Struct, tag_field="type", tag="status", kw_only=True, frozen=True):
    """Of one engine; a machine may have several."""

    version: Literal[1] = VERSION
    """Rises when a field changes its meaning or goes."""
    software: str
    pid: int
    network: int = 0
    """Its network namespace, by the number that the kernel gives to each; 0: not known."""
    node: str
    """Its name in Kubernetes, or the host's name."""
    now_s: float
    """When this was made."""
    answers: bool
    """Whether the engine answered just now; over HTTP, whether it was heard in the last three seconds. Where not,
    all else is what was known last."""
    silent_s: float | None
    """Since its last heartbeat; null before the first."""
    groups: list[GroupStatus]
    drops: dict[str, dict[str, Annotated[int, Meta(gt=0)]]]
    """What was heard and not taken, by interface and reason."""
    checks: list[CheckResult] = []
    pods: list[PodView] | None = None
    """Of all nodes; null outside Kubernetes."""
    services: list[ServiceView] | None = None
    """Of type LoadBalancer; null where these are nobody's business here."""
    api_reachable: bool | None = None
    """Whether Kubernetes' API answers; null outside Kubernetes."""
    api_silent_s: float | None = None
    """For how long it has not; null where it answers. What is shown of other pods is as old."""
    transitions: list[Transition] = []
    """The newest first."""
    notices: list[Notice] = []
    """The newest first."""


class Unreachable(Struct, kw_only=True, frozen=True):
    """A control socket on which no engine replies."""

    socket: str
    why: str


class StatusDocument(Struct, kw_only=True, frozen=True):
    """What `carpsidecar status --json` prints."""

    version: Literal[1] = VERSION
    """As of `NodeStatus`."""
    exit_status: Literal[0, 1, 3, 4]
    """0: all well; 1: no engine replies; 3: a group has no master; 4: a fault."""
    engines: list[NodeStatus]
    unreachable: list[Unreachable]


def schema() -> str:
    """The JSON Schema of `StatusDocument`: docs/status-schema.json."""
    import json

    return json.dumps(msgspec.json.schema(StatusDocument), indent=2) + "\n"


if __name__ == "__main__":
    print(end=schema())
