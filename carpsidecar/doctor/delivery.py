"""Whether advertisements get from the network to a program on this machine, and only there.

Source: Documentation/networking/bridge.rst, RFC 4541. A bridge floods 224.0.0.0/24 whatever it has snooped, but of
IPv6 only ff02::1, and of other groups only what a querier keeps it knowing of.
"""

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

from carpsidecar.doctor.findings import Finding, check, ok, problem, skipped, warning
from carpsidecar.doctor.listener import Observed
from carpsidecar.doctor.machine import Subject
from carpsidecar.doctor.peers import authentic, names_of, needs_observed
from carpsidecar.linux.netlink import IPAddress

_FLOODED = ip_network("224.0.0.0/24")


@needs_observed("multicast")
def multicast(subject: Subject, observed: Observed) -> Iterator[Finding]:
    """Whether multicast gets from the card to a program here, by a datagram that never leaves this machine."""
    if not subject.uses_multicast:
        yield skipped("advertisements go to peers or in broadcasts")
        return
    for group in subject.config.destination.multicast:
        looped_back = observed.looped_back.get(group)
        if looped_back:
            yield ok(f"{group} can be joined, and comes back")
        elif any(observed.delivered[sender.source, subject.config.vhid] for sender in authentic(subject, observed)):
            yield ok(f"advertisements to {group} arrive")
        elif looped_back is None:
            yield problem(
                f"{group} can't be joined or sent to on {subject.interface}",
                f"see `ip maddress show dev {subject.interface}`, or use --peer",
            )
        else:
            yield warning(
                f"a datagram of ours to {group} does not come back: a firewall here takes multicast",
                f"let protocol 112 to {group} in and out, or use --peer",
            )


@needs_observed("delivery")
def delivery(subject: Subject, observed: Observed) -> Iterator[Finding]:
    """Whether what the card hears reaches programs."""
    lost = [
        sender
        for sender in observed.carp(subject.config.vhid)
        if not observed.delivered[sender.source, subject.config.vhid]
    ]
    if lost:
        count = sum(sender.count for sender in lost)
        yield problem(
            f"{count} advertisements of {names_of(lost)} reached the card, and none a program",
            "see firewall and rp_filter; XDP, tc and eBPF programs may take packets, too",
        )
    arrived = [sender for sender in observed.carp(subject.config.vhid) if sender not in lost]
    if arrived:
        yield ok(f"what {names_of(arrived)} sends reaches programs")
    elif not lost:
        yield skipped("nothing with this vhid reached the card")


@check("reflection")
def own_packets_back(subject: Subject) -> Iterator[Finding]:
    """Whether the network returns what this machine sends."""
    observed = subject.observed
    if observed is None:
        return
    for sender in observed.returned(subject.config.vhid):
        if subject.link is not None and sender.last.datagram.mac_source == subject.link.mac:
            yield warning(
                f"the network returns what this machine sends on {subject.interface}; it is not heeded",
                "look for a loop, a bridge port in hairpin mode, or a bond that is set up on one side only",
            )
        else:
            yield problem(
                f"advertisements from our own address {sender.source} come in on {subject.interface}",
                f"find who has {sender.source} too: arping -D -I {subject.interface} {sender.source}",
            )


@check("snooping")
def bridge(subject: Subject) -> Iterator[Finding]:
    if not subject.uses_multicast or not subject.interface:
        return
    device = Path("/sys/class/net") / subject.interface
    for settings in (device / "bridge", device / "brport" / "bridge" / "bridge", device / "master" / "bridge"):
        if settings.is_dir():
            break
    else:
        return
    groups = [group for group in subject.config.destination.multicast if not _is_flooded(group)]
    name = settings.resolve().parent.name
    if groups and _read(settings / "multicast_snooping") == "1" and _read(settings / "multicast_querier") == "0":
        yield warning(
            f"bridge {name} snoops multicast and is no querier: where no other one is, it forgets who listens to"
            f" {', '.join(map(str, groups))}",
            f"ip link set {name} type bridge mcast_querier 1, or mcast_snooping 0",
        )
    else:
        yield ok(f"bridge {name} lets the groups through")


def _is_flooded(group: IPAddress) -> bool:
    return group.version == 4 and group in _FLOODED


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
