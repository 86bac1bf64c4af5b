"""Kernel settings of the interface (sysctl) that keep an address from being found, or packets from arriving.

Source: Documentation/networking/ip-sysctl.rst. Of `all` and the interface's own, the higher value counts.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from carpsidecar.doctor.findings import Finding, check, ok, problem, warning
from carpsidecar.doctor.machine import Subject
from carpsidecar.engine.fencing import is_wanted
from carpsidecar.linux.fence import missing
from carpsidecar.linux.netlink import IPAddress

_STRICT = 1


@check("arp_ignore")
def answers_arp(subject: Subject) -> Iterator[Finding]:
    """`arp_ignore`: 8 answers nothing at all, and 3 nothing that is held with scope host, as ours are where the
    interface has no address of its own."""
    value = effective("arp_ignore", subject.interface)
    if value is None or not any(ip.version == 4 for ip in subject.addresses):
        return
    if value == 8 or (value == 3 and 4 not in subject.sources):
        yield problem(
            f"it is {value}: this machine does not answer ARP for the group's addresses",
            f"sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.{subject.interface}.arp_ignore=1, or 0",
        )
    else:
        yield ok(f"it is {value}")


@check("arp_announce")
def asks_by_arp(subject: Subject) -> Iterator[Finding]:
    """`arp_announce`: any value will do, since one of our addresses is never chosen as a sender's."""
    value = effective("arp_announce", subject.interface)
    if value is not None:
        yield ok(f"it is {value}")


@check("rp_filter")
def reverse_path(subject: Subject) -> Iterator[Finding]:
    """`rp_filter` 1 drops what comes by another interface than the answer would take."""
    value = effective("rp_filter", subject.interface)
    if value is None or 4 not in subject.config.families or subject.link is None:
        return
    elsewhere = []
    if value == _STRICT:
        heard = subject.observed.carp(subject.config.vhid) if subject.observed else ()
        others = {sender.source for sender in heard} | set(_a_neighbour(subject))
        elsewhere = sorted(str(ip) for ip in others if ip.version == 4 and not _routed_here(subject, ip))
    if elsewhere:
        yield problem(
            f"it is 1 (strict), and the route to {', '.join(elsewhere)} is by another interface:"
            " their advertisements are dropped",
            f"sysctl -w net.ipv4.conf.{subject.interface}.rp_filter=2, or have one interface in that network",
        )
    else:
        yield ok(f"it is {value}")


@check("promote_secondaries")
def secondaries(subject: Subject) -> Iterator[Finding]:
    """`promote_secondaries` 0: when the primary address goes, all secondary ones of its network go too."""
    value = effective("promote_secondaries", subject.interface)
    if value is None or subject.link is None:
        return
    second = [own.interface for own in subject.netlink.addresses(subject.link.index) if own.secondary]
    second = [interface for interface in second if interface.version == 4]
    if value == 0 and second:
        yield warning(
            f"it is 0, and {', '.join(map(str, second))} would go with the primary address of {subject.interface}",
            f"sysctl -w net.ipv4.conf.{subject.interface}.promote_secondaries=1",
        )
    else:
        yield ok(f"it is {value}")


@check("fence")
def fence(subject: Subject) -> Iterator[Finding]:
    """Whether nftables can do what the group's timing asks for."""
    if not is_wanted(subject.config):
        return
    why = missing()
    if why:
        yield warning(
            f"there can't be one: {why}. Of a master that is killed or hangs here, this machine may answer for the"
            " addresses a second or two longer than a backup waits",
            "a kernel with nf_tables (inet, arp, sets with timeouts); or backups that wait for three seconds",
        )
    else:
        yield ok("nftables can silence the addresses in time")


@check("disable_ipv6")
def ipv6(subject: Subject) -> Iterator[Finding]:
    if not any(ip.version == 6 for ip in subject.addresses):
        return
    if read(f"ipv6/conf/{subject.interface}/disable_ipv6") == 1:
        yield problem(
            f"it is 1 on {subject.interface}: no IPv6 address can be added there",
            f"sysctl -w net.ipv6.conf.{subject.interface}.disable_ipv6=0",
        )


def effective(name: str, interface: str) -> int | None:
    """The value that counts; None where it can't be read."""
    values = [read(f"ipv4/conf/{scope}/{name}") for scope in ("all", interface)]
    if not interface or values[1] is None:
        return None
    return max(value for value in values if value is not None)


def read(name: str) -> int | None:
    with suppress(OSError, ValueError):
        return int((Path("/proc/sys/net") / name).read_text())
    return None


def _a_neighbour(subject: Subject) -> Iterator[IPAddress]:
    """An address beside our own, whether somebody has it or not."""
    for held in subject.netlink.addresses(subject.link.index if subject.link else None):
        own = held.interface
        if own.ip == subject.sources.get(4) and own.network.num_addresses >= 4:
            first = own.network.network_address + 1
            yield first if first != own.ip else first + 1


def _routed_here(subject: Subject, ip: IPAddress) -> bool:
    route = subject.netlink.route(ip)
    return route is None or route.local or subject.link is None or route.index == subject.link.index
