"""Statuses of engines that are not there."""

from typing import Any

from carpsidecar.ipc.messages import PeerHeard
from carpsidecar.status.model import GroupStatus, KernelView, NodeStatus

NOW_S = 1_800_000_000.0
HELD = KernelView(link="up", held={"192.0.2.100": 2.0})


def group(name: str = "web", **fields: Any) -> GroupStatus:
    given: dict[str, Any] = {
        "role": "master",
        "reason": "no advertisement from the master",
        "since_s": NOW_S - 11_040,
        "interface": "eth0",
        "link": True,
        "vhid": 100,
        "addresses": ["192.0.2.100"],
        "lease_left_s": 1.6,
        "advbase": 1,
        "advskew": 10,
        "advskew_advertised": 10,
        "interval_s": 1 + 10 / 256,
        "dead_ratio": 3,
        "demotions": {},
        "master": "192.0.2.11",
        "master_advertised_s": NOW_S - 0.4,
        "peers": {},
        "counters": {},
        "kernel": HELD,
        **fields,
    }
    return GroupStatus(group=name, **given)


def backup(name: str = "web", **fields: Any) -> GroupStatus:
    given = {
        "role": "backup",
        "reason": "started",
        "lease_left_s": None,
        "master": "192.0.2.12",
        "kernel": KernelView(link="up", held={}),
        **fields,
    }
    return group(name, **given)


def engine(*groups: GroupStatus, **fields: Any) -> NodeStatus:
    given: dict[str, Any] = {
        "software": "1.2.3",
        "pid": 4711,
        "node": "n1",
        "now_s": NOW_S,
        "answers": True,
        "silent_s": 0.01,
        "drops": {},
        **fields,
    }
    return NodeStatus(groups=list(groups), **given)


def peer(**fields: Any) -> PeerHeard:
    given: dict[str, Any] = {"interval_s": 1.5, "heard_s": NOW_S - 12, "authentic": True, **fields}
    return PeerHeard(**given)


def drained(text: str = "kernel update") -> dict[str, Any]:
    """The fields of a group that an operator drained."""
    return {"demotions": {"operator": 240}, "demotion_texts": {"operator": text} if text else {}}
