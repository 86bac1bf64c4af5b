"""What a group looks like from outside: for the reporter, for a log line, for a hook."""

import time
from collections.abc import Mapping, Sequence

from carpsidecar.config.group import GroupConfig
from carpsidecar.engine.group import Group
from carpsidecar.engine.interface import Interface
from carpsidecar.ipc.messages import GroupCounters, GroupSnapshot, Heartbeat, Role
from carpsidecar.protocol.packet import Drop

_HEARTBEAT_GROUPS = 25
"""In one message, which is limited: a group that saw everything and everybody takes some 4 kB."""


def status_line(group: Group) -> str:
    """`MASTER on eth0 id 42`, as ucarp says it, and why."""
    return f"{group.member.role.upper()} on {group.interface.name} id {group.config.vhid} ({group.member.reason})"


def snapshot(group: Group) -> GroupSnapshot:
    member, settings = group.member, group.member.election.settings
    agreed = []
    if group.configured.shows_agreement:
        # Here, since Python's OpenSSL comes with it.
        from carpsidecar.engine.agreement import agreements

        agreed = agreements(group.configured)
    master = member.master
    if master is None and group.services and group.membership is not None:
        # A node that takes no part follows nobody, and yet the address has its master.
        master = group.membership.master
    return GroupSnapshot(
        group=group.config.name,
        role=member.role,
        reason=member.reason,
        since_s=group.since_s,
        interface=group.interface.name,
        vhid=group.config.vhid,
        addresses=[str(ip) for ip in group.ips],
        advbase=settings.advbase,
        advskew=settings.advskew,
        advskew_advertised=member.election.advskew,
        dead_ratio=settings.dead_ratio,
        demotions=dict(member.demotions.amounts),
        demotion_texts=dict(member.demotions.texts),
        demoted_since_s=group.demoted_since_s,
        warnings=_warnings(group),
        link=group.interface.up,
        fenced=group.addresses.fence_wanted and not group.addresses.fence_lacking,
        fence_lacking=group.addresses.fence_lacking,
        sync_group=group.config.sync_group,
        master=str(master) if master else None,
        outranked_s=group.peers.outranked_s,
        members=group.membership.views if group.membership is not None else [],
        drift=group.drift,
        agreement=agreed[0] if agreed else "",
        agrees_with=agreed[1:],
        services=list(group.services),
    )


def _warnings(group: Group) -> list[str]:
    """What is to be known of it though it works."""
    lacking = group.addresses.open_ports
    return group.family_warning.texts + ([f"ports of this node are reached at it: {lacking}"] if lacking else [])


def failed(
    config: GroupConfig, why: str, before: GroupSnapshot | None, role: Role = "fault", services: Sequence[str] = ()
) -> GroupSnapshot:
    """Of a group that could not be started; since `before`, where that says the same."""
    since_s = before.since_s if before is not None and before.reason == why else time.time()
    return GroupSnapshot(
        group=config.name,
        role=role,
        reason=why,
        since_s=since_s,
        interface=config.interface or "",
        vhid=config.vhid,
        addresses=[str(address.ip) for address in config.addresses],
        advbase=config.settings.advbase,
        advskew=config.settings.advskew,
        advskew_advertised=config.settings.advskew,
        dead_ratio=config.settings.dead_ratio,
        demotions={},
        link=False,
        sync_group=config.sync_group,
        master=None,
        services=list(services),
    )


def counters(group: Group) -> GroupCounters:
    count = group.counts
    return GroupCounters(
        advertisements_sent=count["sent"],
        advertisements_failed=count["failed"],
        advertisements_received=count["received"],
        transitions={role: dict(reasons) for role, reasons in group.transitions.items()},
        master_advertised_s=group.master_advertised_s,
        lease_renewals=group.member.lease.confirmed,
        lease_misses=count["lease_misses"],
        fence_renewals=count["fence_renewals"],
        questions=count["questions"],
        addresses_put_back=count["put_back"],
        foreign_claims=group.announcements.foreign_claims,
        hooks=dict(group.hooks.results),
        lease_left_s=group.lease_left_s,
        peers=group.peers.report(),
        members_heard_s=group.membership.heard_s if group.membership is not None else {},
    )


def drops(interface: Interface) -> dict[str, int]:
    """What was heard there and not taken, by reason."""
    return {
        **{str(drop): interface.receiver.drops[drop] for drop in Drop},
        "unread": interface.unread,
        "overrun": interface.overrun,
        "claims_unread": interface.claims.unread,
    }


def heartbeats(
    groups: Mapping[str, Group],
    interfaces: Mapping[str, Interface],
    bad_messages: int,
    refused_commands: dict[str, int],
) -> list[Heartbeat]:
    """One, or several where there are too many groups for a message."""
    named, links = list(groups.items()), list(interfaces.items())
    now_s = time.time()
    return [
        Heartbeat(
            sent_s=now_s,
            counters={name: counters(group) for name, group in named[start : start + _HEARTBEAT_GROUPS]},
            drops={name: drops(interface) for name, interface in links[start : start + _HEARTBEAT_GROUPS]},
            bad_messages=bad_messages,
            refused_commands=refused_commands,
        )
        for start in range(0, max(len(named), 1), _HEARTBEAT_GROUPS)
    ]
