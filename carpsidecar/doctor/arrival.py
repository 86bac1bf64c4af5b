"""Whether advertisements get from the network to a program on this machine, and only there."""

from collections.abc import Iterator

from carpsidecar.doctor.finding import Finding, Status
from carpsidecar.doctor.hearing import Hearing
from carpsidecar.doctor.peers import believed, heard, names_of
from carpsidecar.doctor.scene import Subject


@heard("multicast")
def multicast(subject: Subject, hearing: Hearing) -> Iterator[Finding]:
    """Whether multicast gets from the card to a program here, by a datagram that never leaves this machine."""
    if not subject.uses_multicast:
        yield Finding(
            "multicast", Status.SKIPPED, "advertisements go to peers or in broadcasts", about=subject.name
        )
        return
    for group in subject.config.destination.multicast:
        came_back = hearing.returned.get(group)
        if came_back:
            yield Finding("multicast", Status.OK, f"{group} can be joined, and comes back", about=subject.name)
        elif any(hearing.delivered[speaker.source, subject.config.vhid] for speaker in believed(subject, hearing)):
            yield Finding("multicast", Status.OK, f"advertisements to {group} arrive", about=subject.name)
        elif came_back is None:
            yield Finding(
                "multicast",
                Status.PROBLEM,
                f"{group} can't be joined or sent to on {subject.interface}",
                f"see `ip maddress show dev {subject.interface}`, or use --peer",
                subject.name,
            )
        else:
            yield Finding(
                "multicast",
                Status.WARNING,
                f"a datagram of ours to {group} does not come back: a firewall here takes multicast",
                f"let protocol 112 to {group} in and out, or use --peer",
                subject.name,
            )


@heard("delivery")
def delivery(subject: Subject, hearing: Hearing) -> Iterator[Finding]:
    """Whether what the card hears reaches programs."""
    lost = [
        speaker
        for speaker in hearing.carp(subject.config.vhid)
        if not hearing.delivered[speaker.source, subject.config.vhid]
    ]
    if lost:
        count = sum(speaker.count for speaker in lost)
        yield Finding(
            "delivery",
            Status.PROBLEM,
            f"{count} advertisements of {names_of(lost)} reached the card, and none a program",
            "see firewall and rp_filter; XDP, tc and eBPF programs may take packets, too",
            subject.name,
        )
    arrived = [speaker for speaker in hearing.carp(subject.config.vhid) if speaker not in lost]
    if arrived:
        yield Finding("delivery", Status.OK, f"what {names_of(arrived)} sends reaches programs", about=subject.name)
    elif not lost:
        yield Finding("delivery", Status.SKIPPED, "nothing with this vhid reached the card", about=subject.name)


def own_packets_back(subject: Subject) -> Iterator[Finding]:
    """Whether the network returns what this machine sends."""
    hearing = subject.hearing
    if hearing is None:
        return
    own = set(subject.sources.values())
    for speaker in hearing.carp(subject.config.vhid):
        if speaker.source in own:
            yield Finding(
                "reflection",
                Status.PROBLEM,
                f"advertisements from our own address {speaker.source} come in on {subject.interface}",
                f"find who has {speaker.source} too: arping -D -I {subject.interface} {speaker.source};"
                " or the network returns what it gets: a loop, or a bond set up on one side only",
                subject.name,
            )
