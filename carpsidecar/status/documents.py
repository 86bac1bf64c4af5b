"""What is said over a control socket: a request a connection, one JSON line, and one JSON line back.

The answer to `status` is also what `carpsidecar status --json` prints; docs/status-schema.json is made from the
classes here. Times are seconds since the epoch, lengths of time seconds. A later version may have more fields.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from carpsidecar.ipc.messages import Role, Text

VERSION: Literal[1] = 1
REQUEST_SIZE_MAX = 4096
ANSWER_SIZE_MAX = 1 << 24


class Request(Struct, kw_only=True, frozen=True):
    type: Literal["status", "step-down", "promote", "drain", "undrain"]
    group: str | None = None
    """None: all of them."""
    reason: Text = ""


class Demotion(Struct, kw_only=True, frozen=True):
    cause: str
    """`operator` for a drain by hand; the name of a health check; and so on."""
    amount: int
    text: str
    """Why, in the words of whoever wanted it; empty where there are none."""


class Peer(Struct, kw_only=True, frozen=True):
    """Another node of the group that was heard, by its last advertisement."""

    address: str
    interval_s: float
    heard_s: float
    authentic: bool
    """Whether its digest fits: it has the same passphrase, addresses and mode."""


class KernelView(Struct, kw_only=True, frozen=True):
    """What `carpsidecar status` itself finds in the kernel."""

    link: Literal["up", "down", "absent"]
    """Of the group's interface."""
    held: dict[str, float | None]
    """The addresses of the group that it has, and for how many seconds yet; null: for ever."""


class GroupStatus(Struct, kw_only=True, frozen=True):
    group: str
    role: Role
    reason: str
    """Why it entered this role; or what keeps it from taking part."""
    since_s: float
    interface: str
    link: bool
    """Whether the interface is there and its link up, as the engine knows it."""
    vhid: int
    addresses: list[str]
    lease_left_s: float | None
    """How long the kernel holds the addresses yet if the engine does not renew them; null where it is no master."""
    advbase: int
    advskew: int
    advskew_advertised: int
    """With all demotions, 240 at most."""
    interval_s: float
    """Between two advertisements of ours."""
    dead_ratio: int
    """So many times advbase without an advertisement, and a backup takes over."""
    demotions: list[Demotion]
    master: str | None
    """The address that the master advertises from; our own where we are master; null where none is heard."""
    master_advertised_s: float | None
    """When its last advertisement was heard, or sent where we are master."""
    peers: list[Peer]
    """The last heard first."""
    counters: dict[str, int]
    """Since the engine's start; those that are not zero."""
    kernel: KernelView | None = None
    """Null where it could not be asked: another network namespace."""
    problems: list[str] = []
    """What does not fit together, such as a master whose address the kernel does not have."""


class EngineStatus(Struct, tag_field="type", tag="status", kw_only=True, frozen=True):
    """Of one engine; a machine may have several."""

    software: str
    pid: int
    node: str
    """Its name in Kubernetes, or the host's name."""
    now_s: float
    """When this was said."""
    answers: bool
    """Whether the engine answered just now. Where not, all else is what was known last."""
    silent_s: float | None
    """Since its last word; null before the first."""
    groups: list[GroupStatus]
    drops: dict[str, dict[str, Annotated[int, Meta(gt=0)]]]
    """What was heard and not taken, by interface and reason."""


class Result(Struct, kw_only=True, frozen=True):
    """What became of a command in one group."""

    group: str
    done: bool
    text: str


class Done(Struct, tag_field="type", tag="done", kw_only=True, frozen=True):
    results: list[Result]


class Refused(Struct, tag_field="type", tag="error", kw_only=True, frozen=True):
    """The request can't be read, or asks for what is not there."""

    text: str
    groups: list[str] | None = None
    """Those that are there, where an unknown one was asked for."""


Answer = EngineStatus | Done | Refused


class Unreachable(Struct, kw_only=True, frozen=True):
    """A control socket on which nobody answers."""

    socket: str
    why: str


class StatusDocument(Struct, kw_only=True, frozen=True):
    """What `carpsidecar status --json` prints."""

    version: Literal[1] = VERSION
    """Rises when a field changes its meaning or goes."""
    exit_status: Literal[0, 1, 3, 4]
    """0: all well; 1: nobody answers; 3: a group has no master; 4: a fault."""
    engines: list[EngineStatus]
    unreachable: list[Unreachable]


def schema() -> str:
    """The JSON Schema of `StatusDocument`: docs/status-schema.json."""
    import json

    return json.dumps(msgspec.json.schema(StatusDocument), indent=2) + "\n"


if __name__ == "__main__":
    print(end=schema())
