"""The rules of the fence's table, and its sets, which the fence fills."""

from carpsidecar.linux.frames import NEIGHBOUR_SOLICITATION
from carpsidecar.linux.nftables import (
    ARP,
    ARP_INPUT,
    ARP_OUTPUT,
    ESTABLISHED,
    INET,
    INET_INPUT,
    INET_OUTPUT,
    RELATED,
    Message,
    address_set,
    chain,
    differs,
    drop,
    equal,
    has_no_state,
    is_family,
    is_no_protocol,
    is_protocol,
    member,
    network,
    no_member,
    refuse,
    reset,
    rule,
    table,
    transport,
)

OURS, LIVE, CLOSED = "ours", "live", "closed"
SETS = ((ARP, 4), (INET, 4), (INET, 6))
SETS_OF = {OURS: SETS, LIVE: SETS, CLOSED: ((INET, 4), (INET, 6))}
"""Each by the family of its table and the version of its addresses, which its name ends in."""

_PRIORITY = -300
"""Before connection tracking, and before anybody's filter: what is to be silent costs nothing more."""
_CLOSED_PRIORITY = 150
"""After all that may have to see a packet first: filters at 0, and IPVS at 98."""
_ICMP, _TCP, _ICMPV6 = 1, 6, 58
_ICMP_PASSING = (3, 8, 11, 12)
"""Errors and echo requests: RFC 792."""
_ICMPV6_PASSING = (1, 2, 3, 4, 128, NEIGHBOUR_SOLICITATION, 136)
"""The same, and neighbour discovery: RFC 4443 and 4861."""


def silencing(name: str) -> list[Message]:
    """The tables, their rules, and no element."""
    sets = [(family, f"{kind}{version}", version) for family, version in SETS for kind in (OURS, LIVE)]
    silent4 = member(f"{OURS}4"), no_member(f"{LIVE}4")
    silent6 = member(f"{OURS}6"), no_member(f"{LIVE}6")
    source4, target4, source6, target6 = network(12, 4), network(16, 4), network(8, 16), network(24, 16)
    request = network(6, 2), equal(b"\0\1")
    arp_sender, arp_target = network(14, 4), network(24, 4)
    solicitation = *is_protocol(_ICMPV6), transport(0, 1), equal(bytes([NEIGHBOUR_SOLICITATION]))
    return [
        *table(ARP, name),
        *table(INET, name),
        *(address_set(family, name, kind, version, at) for at, (family, kind, version) in enumerate(sets, 1)),
        chain(ARP, name, "input", ARP_INPUT, _PRIORITY),
        chain(ARP, name, "output", ARP_OUTPUT, _PRIORITY),
        chain(INET, name, "input", INET_INPUT, _PRIORITY),
        chain(INET, name, "output", INET_OUTPUT, _PRIORITY),
        # A request from one of our own addresses is the new master's announcement.
        rule(ARP, name, "input", *request, arp_sender, no_member(f"{OURS}4"), arp_target, *silent4, drop()),
        rule(ARP, name, "output", arp_sender, *silent4, drop()),
        rule(INET, name, "input", *is_family(4), target4, *silent4, drop()),
        rule(INET, name, "input", *is_family(6), target6, *silent6, drop()),
        rule(INET, name, "input", *is_family(6), *solicitation, transport(8, 16), *silent6, drop()),
        rule(INET, name, "output", *is_family(4), source4, *silent4, drop()),
        rule(INET, name, "output", *is_family(6), source6, *silent6, drop()),
    ]


def closing(name: str) -> list[Message]:
    """What refuses, of all that arrives here for an address in these sets, what belongs to no connection.

    kube-proxy has translated what is for a Service before: in its iptables and nftables modes it is for a pod by
    now, and in IPVS mode it was taken off the way just before (net/netfilter/ipvs/ip_vs_core.c: 98 and 99).
    """
    rules = []
    for version, at, icmp, passing in ((4, 16, _ICMP, _ICMP_PASSING), (6, 24, _ICMPV6, _ICMPV6_PASSING)):
        target = network(at, 4 if version == 4 else 16), member(f"{CLOSED}{version}")
        ours = *is_family(version), *target, *has_no_state(ESTABLISHED | RELATED)
        other = transport(0, 1), *(differs(bytes([kind])) for kind in passing)
        rules += [
            rule(INET, name, CLOSED, *ours, *is_protocol(_TCP), reset()),
            rule(INET, name, CLOSED, *ours, *is_protocol(icmp), *other, drop()),
            rule(INET, name, CLOSED, *ours, *is_no_protocol(icmp), *is_no_protocol(_TCP), refuse()),
        ]
    return [
        *(address_set(INET, name, f"{CLOSED}{version}", version, 10 + version) for version in (4, 6)),
        chain(INET, name, CLOSED, INET_INPUT, _CLOSED_PRIORITY),
        *rules,
    ]
