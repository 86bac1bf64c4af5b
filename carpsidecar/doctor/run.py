"""Runs the checks: the machine first, then each group, in the order in which things build on each other."""

import errno
from collections.abc import Callable
from contextlib import ExitStack

from carpsidecar.config.group import Family
from carpsidecar.config.sources import Config
from carpsidecar.doctor import (
    collisions,
    delivery,
    holder,
    hooks,
    interface,
    kernel_settings,
    node,
    peers,
    services,
)
from carpsidecar.doctor.findings import Check, Finding
from carpsidecar.doctor.firewall.check import firewall
from carpsidecar.doctor.listener import Listener, listen
from carpsidecar.doctor.machine import Machine, Subject, read_machine
from carpsidecar.linux.netlink import IPAddress, Netlink

OF_MACHINE: tuple[Check[Machine], ...] = (
    node.configuration,
    node.drift,
    node.privileges,
    node.realtime,
    node.kernel,
    services.pools,
    services.closed_ports,
    services.ipvs,
)
OF_GROUP: tuple[Check[Subject], ...] = (
    node.daemon,
    interface.link,
    interface.source,
    interface.addresses,
    kernel_settings.answers_arp,
    kernel_settings.asks_by_arp,
    kernel_settings.reverse_path,
    kernel_settings.secondaries,
    kernel_settings.ipv6,
    kernel_settings.fence,
    hooks.hooks,
    firewall,
    delivery.bridge,
    delivery.multicast,
    delivery.delivery,
    delivery.own_packets_back,
    collisions.damaged,
    collisions.numbers,
    peers.digests,
    peers.peers,
    peers.priorities,
    peers.members,
    holder.holder,
)


def default_listen_s(config: Config) -> float:
    """Long enough to hear every master three times."""
    return max((3.0 * (group.settings.advbase + 1) for group in config.groups), default=0.0)


def run_checks(config: Config, listen_s: float, progress: Callable[[str], None]) -> list[Finding]:
    """All checks. `progress` is given a line before anything that takes long.

    Raises:
        OSError: the kernel can't even be asked for its links.
    """
    netlink = Netlink()
    try:
        machine = read_machine(config, netlink)
        _listen_to(machine, listen_s, progress)
        findings: list[Finding] = []
        for of_machine in OF_MACHINE:
            findings += of_machine(machine)
        for subject in machine.subjects:
            for of_group in OF_GROUP:
                findings += of_group(subject)
        if config.reporter is not None and config.reporter.kubernetes is not None:
            from carpsidecar.doctor.kubernetes import cluster

            findings += cluster(machine, config.reporter.kubernetes)
        return findings
    finally:
        netlink.close()


def _listen_to(machine: Machine, seconds: float, progress: Callable[[str], None]) -> None:
    """All interfaces at once, for so long."""
    by_interface: dict[str, list[Subject]] = {}
    for subject in machine.subjects:
        if "CAP_NET_RAW" in machine.lacking:
            subject.unobserved = "CAP_NET_RAW is missing: nothing can be heard"
        elif subject.link is None or not subject.link.up:
            subject.unobserved = f"{subject.interface or 'the interface'} is not there or has no link"
        else:
            by_interface.setdefault(subject.interface, []).append(subject)
    with ExitStack() as stack:
        listeners = {}
        for name, subjects in by_interface.items():
            try:
                listeners[name] = _listener(subjects)
            except OSError as error:
                for subject in subjects:
                    subject.unobserved = f"nothing can be heard on {name}: {error.strerror or error}"
            else:
                stack.callback(listeners[name].close)
        if listeners:
            progress(f"listening on {', '.join(listeners)} for {seconds:g} s")
            listen(list(listeners.values()), seconds)
    for name, listener in listeners.items():
        for subject in by_interface[name]:
            subject.observed = listener.observed


def _listener(subjects: list[Subject]) -> Listener:
    """For all groups of one interface. Raises: OSError."""
    families: set[Family] = {family for subject in subjects for family in subject.config.families}
    groups: dict[IPAddress, None] = {}
    addresses: dict[IPAddress, None] = {}
    for subject in subjects:
        groups |= dict.fromkeys(subject.config.destination.multicast if subject.uses_multicast else ())
        addresses |= dict.fromkeys(subject.addresses)
    link = subjects[0].link
    if link is None:
        raise OSError(errno.ENODEV, "there is no such interface")
    held = {own.interface.ip for own in subjects[0].netlink.addresses()}
    virtual = {ip for subject in subjects for ip in subject.addresses}
    return Listener(link, families, list(groups), list(addresses), held - virtual)
