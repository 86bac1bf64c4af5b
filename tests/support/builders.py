"""Messages of the engine to vary: what a test says of them is what matters to it."""

import time
from typing import Any

from msgspec.structs import replace

from carpsidecar.ipc.messages import GroupCounters, GroupSnapshot, Heartbeat

_SNAPSHOT = GroupSnapshot(
    group="web",
    role="backup",
    reason="started",
    since_s=1_800_000_000.25,
    interface="eth0",
    vhid=42,
    addresses=["192.0.2.100"],
    advbase=1,
    advskew=0,
    advskew_advertised=0,
    demotions={},
    master=None,
)
_COUNTERS = GroupCounters(
    advertisements_sent=0,
    advertisements_failed=0,
    advertisements_received=0,
    transitions={},
    lease_renewals=0,
    lease_misses=0,
    addresses_put_back=0,
    foreign_claims=0,
    hooks={},
)


def snapshot(group: str = "web", **fields: Any) -> GroupSnapshot:
    """A backup that has just started, and has heard no master."""
    return replace(_SNAPSHOT, group=group, **fields)


def counters(**fields: Any) -> GroupCounters:
    """Of a group to which nothing has happened."""
    return replace(_COUNTERS, **fields)


def heartbeat(**fields: Any) -> Heartbeat:
    given: dict[str, Any] = {"sent_s": time.time(), "counters": {}, "drops": {}, "bad_messages": 0, **fields}
    return Heartbeat(**given)
