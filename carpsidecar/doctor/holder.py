"""Who answers for the addresses of the group: the master that we hear, nobody, or a foreign machine."""

from collections.abc import Iterator

from carpsidecar.doctor.findings import Finding, ok, problem, skipped, warning
from carpsidecar.doctor.listener import Observed
from carpsidecar.doctor.machine import Subject
from carpsidecar.doctor.peers import needs_observed
from carpsidecar.linux.netlink import IPAddress

_VIRTUAL_MAC = bytes.fromhex("00005e0001")
"""The BSDs answer with this and the vhid; so does VRRP."""


@needs_observed("holder")
def holder(subject: Subject, observed: Observed) -> Iterator[Finding]:
    if observed.unprobed:
        found = f"nobody could be asked on {subject.interface}: {observed.unprobed}"
        yield skipped(found)
        return
    masters = _masters(subject, observed)
    held = {own.interface.ip for own in subject.netlink.addresses()}
    for address in subject.addresses:
        yield _of(subject, address, observed.claims.get(address, set()), masters, address in held)


def _masters(subject: Subject, observed: Observed) -> dict[bytes, set[IPAddress]]:
    """The senders of advertisements of this vhid behind each MAC address."""
    found: dict[bytes, set[IPAddress]] = {}
    for sender in observed.carp(subject.config.vhid):
        virtual = _VIRTUAL_MAC + bytes([subject.config.vhid])
        for mac in (virtual, sender.last.datagram.mac_source, *observed.claims.get(sender.source, ())):
            found.setdefault(mac, set()).add(sender.source)
    return found


def _of(
    subject: Subject, address: IPAddress, macs: set[bytes], masters: dict[bytes, set[IPAddress]], here: bool
) -> Finding:
    foreign = sorted(mac.hex(":") for mac in macs if mac not in masters)
    if foreign and (here or len(macs) > 1):
        others = "this machine" if here else "another one"
        return problem(
            f"{address} is held by {', '.join(foreign)} and by {others} at once",
            "take it off one: it is configured there by hand, or two masters do not hear each other (IGMP snooping,"
            " VLAN, firewall): run this there, too",
        )
    if foreign:
        return problem(
            f"{address} is held by {foreign[0]}, from which no advertisement of this vhid comes",
            "a foreign machine: take the address off there, or give the group another one; a node of the group: its"
            " advertisements get lost (IGMP snooping without a querier, VLAN, its firewall): run this there, too",
        )
    names = _names(set().union(*(masters[mac] for mac in macs)), address)
    if macs and here:
        return problem(f"{address} is held here and by {names} at once", "see peers")
    if macs:
        return ok(f"{address} is held by the master, {names}")
    if here:
        return ok(f"{address} is held by this machine, and nobody else answers for it")
    if masters:
        senders = _names(set().union(*masters.values()), address)
        return warning(
            f"{senders} advertises, but nobody answers for {address}",
            "run this there: the address is not on it (scripts of ucarp?), or its arp_ignore keeps it silent",
        )
    return ok(f"{address} is held by nobody")


def _names(senders: set[IPAddress], address: IPAddress) -> str:
    """A master that speaks both families by its address of this one."""
    alike = {sender for sender in senders if sender.version == address.version}
    return ", ".join(sorted(map(str, alike or senders)))
