"""What a group looks like from outside: for the reporter, for a log line, for a hook."""

from carpsidecar.engine.group import Group
from carpsidecar.engine.interface import Interface
from carpsidecar.messages import GroupCounters, GroupSnapshot


def status_line(group: Group) -> str:
    """`MASTER on eth0 id 42`, as ucarp says it, and why."""
    return f"{group.role.upper()} on {group.interface.name} id {group.config.vhid} ({group.reason})"


def snapshot(group: Group) -> GroupSnapshot:
    settings = group.election.settings
    return GroupSnapshot(
        group=group.config.name,
        role=group.role,
        reason=group.reason,
        since_s=group.since_s,
        interface=group.interface.name,
        vhid=group.config.vhid,
        addresses=[str(ip) for ip in group.holding.ips],
        advbase=settings.advbase,
        advskew=settings.advskew,
        advskew_advertised=group.election.advskew,
        demotions=dict(group.demotions),
        master=str(group.master) if group.master else None,
    )


def counters(group: Group) -> GroupCounters:
    count = group.counts
    return GroupCounters(
        advertisements_sent=count["sent"],
        advertisements_failed=count["failed"],
        advertisements_received=count["received"],
        transitions=dict(group.transitions),
        lease_renewals=count["renewals"],
        lease_misses=count["lease_misses"],
        addresses_put_back=count["put_back"],
        foreign_claims=count["claims"],
        hooks=dict(group.hooks.results),
    )


def drops(interface: Interface) -> dict[str, int]:
    """What was heard there and not taken, by reason."""
    return {
        **{str(drop): count for drop, count in interface.receiver.drops.items()},
        "unread": interface.unread,
        "overrun": interface.overrun,
        "claims_unread": interface.claims_unread,
    }
