"""A reporter's state as it might be: two groups on a node, in a cluster of four, after an eventful morning."""

import time
from collections import Counter
from typing import Any

from carpsidecar.ipc.messages import GroupSnapshot, Heartbeat, MemberView, Notice
from carpsidecar.status.model import PodView
from carpsidecar.status.state import State
from carpsidecar.status.stats import ApiStats, CheckStats, Stats
from tests.support.builders import counters, snapshot

HOUR_S = 3600.0
OTHER = "192.0.2.12"
WEB: dict[str, Any] = {
    "addresses": ["192.0.2.100", "2001:db8::100"],
    "advskew": 100,
    "advskew_advertised": 100,
    "fenced": True,
}


def busy_state(now_s: float) -> State:
    state = State()
    for message in _history(now_s):
        state.receive(message)
    beat(state, now_s)
    return state


def beat(state: State, now_s: float) -> None:
    """The engine lives on."""
    state.receive(
        Heartbeat(
            sent_s=now_s,
            counters={
                "web": counters(
                    advertisements_sent=15_344,
                    advertisements_failed=4,
                    advertisements_received=1_482,
                    transitions={
                        "backup": {"started": 1, "demoted": 1, "link_back": 1},
                        "master": {"master_silent": 2, "master_bowed_out": 1},
                        "init": {"link_lost": 1},
                    },
                    lease_renewals=15_348,
                    foreign_claims=3,
                    hooks={"ok": 6, "timeout": 1},
                    master_advertised_s=now_s - 0.3,
                ),
                "storage": counters(
                    advertisements_received=41_022,
                    transitions={"backup": {"started": 1}},
                    master_advertised_s=now_s - 0.8,
                ),
            },
            drops={"eth0": {"digest": 12, "vrrp": 5_210, "ttl": 0}, "eth1": {"unread": 0}},
            bad_messages=0,
        )
    )


def _history(now_s: float) -> list[GroupSnapshot | Notice]:
    storage = snapshot(
        "storage",
        since_s=now_s - 26.2 * HOUR_S,
        members=[
            MemberView(
                sources=["192.0.2.12"],
                name="second",
                version="1.0.0",
                role="backup",
                advbase=1,
                advskew=100,
                since_s=now_s - HOUR_S,
                heard_s=now_s - 2,
                key=1,
                addresses=["10.20.0.5"],
                agrees=True,
            )
        ],
        interface="eth1",
        vhid=7,
        addresses=["10.20.0.5"],
        advskew=100,
        advskew_advertised=160,
        demotions={"check:postgres": 60},
        master="10.20.0.13",
    )
    web = [
        ("backup", "started", 26.2, OTHER),
        ("master", "no advertisement from the master", 26.19, OTHER),
        ("backup", "demoted", 5.2, OTHER),
        ("master", "the master bowed out", 4.9, OTHER),
        ("fault", "the link of eth0 is down", 4.11, None),
        ("backup", "the link is back", 4.1, OTHER),
        ("master", "no advertisement from the master", 3.2, "192.0.2.11"),
    ]
    conflict = Notice(
        kind="conflict",
        group="web",
        interface="eth0",
        peer="52:54:00:1b:77:0e",
        text="52:54:00:1b:77:0e claims 192.0.2.100 while we hold it",
        at_s=now_s - 2.4 * HOUR_S,
    )
    digest = Notice(
        kind="bad_digest",
        group="web",
        interface="eth0",
        peer="192.0.2.14",
        text="from 192.0.2.14 on eth0, vhid 42: do passphrase and addresses agree?",
        at_s=now_s - 95,
    )
    changes = [
        snapshot(role=role, reason=reason, since_s=now_s - hours * HOUR_S, master=master, **WEB)
        for role, reason, hours, master in web
    ]
    return [storage, *changes, conflict, digest]


def busy_stats() -> Stats:
    checks = CheckStats(
        healthy={"nginx": True, "postgres": False},
        results=Counter({("nginx", "good"): 47_010, ("postgres", "good"): 46_800, ("postgres", "bad"): 206}),
    )
    api = ApiStats(reachable=True)
    api.writes.update({"pod_status": 7, "event": 9})
    api.failures["throttled"] = 2
    return Stats(api=api, checks=checks)


def busy_cluster(own_node: str, now_s: float) -> list[PodView]:
    def pod(node: str, suffix: str, web: str, storage: str, reason: str, hours: float, **more: bool) -> PodView:
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_s - hours * HOUR_S))
        roles = {"web": web, "storage": storage}
        return PodView(
            f"carp-{suffix}", node, roles, reason, since, more.get("ready", True), more.get("alive", True)
        )

    return [
        pod(own_node, "7xk2p", "master", "backup", "no advertisement from the master", 3.2),
        pod("worker-2", "q9d4m", "backup", "backup", "a better master advertises", 4.1),
        pod("worker-3", "c5t8w", "backup", "master", "the master bowed out", 30.0),
        pod("worker-4", "z1h6n", "unknown", "backup", "its node is lost", 3.2, ready=False, alive=False),
    ]
