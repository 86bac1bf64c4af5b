"""The interface and its link, the address to advertise from, and the virtual addresses as far as they are here."""

import fcntl
import os
import socket
import struct
from collections.abc import Iterator

from carpsidecar.doctor.findings import Finding, check, ok, problem, skipped, warning
from carpsidecar.doctor.machine import Subject
from carpsidecar.linux.netlink import HeldAddress

_SIOCGIFFLAGS = 0x8913
_IFF_UP, _IFF_MULTICAST = 0x1, 0x1000


@check("interface")
def link(subject: Subject) -> Iterator[Finding]:
    name, there = subject.interface, subject.link
    if not name:
        vip = subject.addresses[0]
        yield problem(
            f"none is given, and no network of this machine has {vip}",
            "give it, for example --interface eth0",
        )
        return
    if there is None:
        yield problem(f"there is no {name}", "see `ip link`, and give --interface one of those")
        return
    flags = _flags(name)
    if not there.up:
        if flags & _IFF_UP:
            found, remedy = f"{name} has no link", "check cable, switch port and, in a virtual machine, its network"
        else:
            found, remedy = f"{name} is down", f"ip link set {name} up"
        ignored = subject.config.ignore_link
        yield (warning if ignored else problem)(found, remedy)
    elif len(there.mac) != 6:
        yield problem(f"{name} is no Ethernet: no address can be announced", "give an Ethernet interface")
    elif subject.uses_multicast and not flags & _IFF_MULTICAST:
        yield problem(f"{name} has no multicast", f"ip link set {name} multicast on, or use --peer")
    else:
        yield ok(f"{name} is up, {there.mac.hex(':')}")


@check("source")
def source(subject: Subject) -> Iterator[Finding]:
    if subject.link is None:
        yield skipped("there is no interface")
        return
    held = {own.interface.ip for own in subject.netlink.addresses(subject.link.index)}
    for family in subject.config.families:
        ip = subject.sources.get(family)
        if ip is None:
            yield problem(
                f"{subject.interface} has no IPv{family} address to advertise from",
                "give the interface one that stays, or give --source",
            )
        elif ip not in held:
            yield problem(
                f"{ip} is given as source, and is no address of {subject.interface}",
                f"give one of {subject.interface}: see `ip address show {subject.interface}`",
            )
        else:
            yield ok(f"advertises from {ip}")


@check("addresses")
def addresses(subject: Subject) -> Iterator[Finding]:
    """Those of the group that this machine has, and whether clients would look for them here."""
    everywhere = subject.netlink.addresses()
    here = {own.interface.ip: own for own in everywhere if own.interface.ip in subject.addresses}
    held = [str(ip) for ip, own in here.items() if own.leased]
    held_by_backup = bool(held) and subject.daemon is not None and _follows_another(subject)
    if held_by_backup:
        yield problem(
            f"{', '.join(held)} is on this machine, and another one is master: both answer for it",
            "find out who added it here, and take it off: ip address del",
        )
    for ip, own in here.items():
        if not own.leased:
            yield _permanent(subject, own)
        elif subject.daemon is None:
            yield warning(
                f"{ip} is here, left by a daemon that runs no more",
                f"none: the kernel drops it within {own.valid_s} s, and the next start would",
            )
    networks = [
        own.interface.network
        for own in everywhere
        if subject.link is not None and own.index == subject.link.index and own.interface.ip not in here
    ]
    strays = [ip for ip in subject.addresses if not any(ip in net for net in networks) and not ip.is_link_local]
    if subject.link is not None and strays:
        yield warning(
            f"{', '.join(map(str, strays))}: in no network of {subject.interface}",
            "check the address and --interface; if it is so on purpose, clients need a route to it",
        )
    if held and subject.daemon is not None and not held_by_backup:
        yield ok(f"this machine holds {', '.join(held)}")
    elif not here and not strays:
        yield ok("none of the group's is on this machine")


def _follows_another(subject: Subject) -> bool:
    """Whether others advertised while we listened, and this machine did not."""
    observed, vhid = subject.observed, subject.config.vhid
    return observed is not None and any(observed.carp(vhid)) and not any(observed.carp(vhid, outgoing=True))


def _permanent(subject: Subject, own: HeldAddress) -> Finding:
    where = next((link.name for link in subject.netlink.links() if link.index == own.index), "?")
    return problem(
        f"{own.interface} is configured on {where} for good",
        "take it out of the machine's own network configuration; if ucarp or the like left it here:"
        f" ip address del {own.interface} dev {where}",
    )


def _flags(interface: str) -> int:
    """Source: netdevice(7)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, struct.pack("16s24x", os.fsencode(interface)))
        except OSError:
            return 0
    return int(struct.unpack_from("=H", answer, 16)[0])
