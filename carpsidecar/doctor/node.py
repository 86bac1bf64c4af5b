"""The machine itself: rights, kernel, the daemon, and the configuration's warnings."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from carpsidecar.doctor.findings import Finding, Status
from carpsidecar.doctor.machine import CAPABILITIES, Machine, Subject
from carpsidecar.linux.capabilities import missing
from carpsidecar.linux.realtime import CAPABILITIES as REALTIME_CAPABILITIES
from carpsidecar.linux.realtime import is_taken
from carpsidecar.status.client import NoEngine, send
from carpsidecar.status.formatting import span
from carpsidecar.status.model import NodeStatus
from carpsidecar.status.requests import Request

KERNEL_LEAST = (4, 18)


def configuration(machine: Machine) -> Iterator[Finding]:
    for warning in machine.config.warnings:
        found, _, remedy = warning.rpartition(": ")
        yield Finding("configuration", Status.WARNING, found or warning, remedy if found else "")
    if not machine.config.warnings:
        names = [subject.name for subject in machine.subjects]
        services = machine.config.service_addresses
        names += [f"those of Services in {len(services.pools)} pools"] if services is not None else []
        yield Finding("configuration", Status.OK, f"groups: {', '.join(names)}")


def drift(machine: Machine) -> Iterator[Finding]:
    """By what the engines here report: only they know what they run with."""
    try:
        replies = send(Request(type="status"), None).replies
    except NoEngine:
        return
    names = {subject.name for subject in machine.subjects}
    groups = [group for reply in replies if isinstance(reply.answer, NodeStatus) for group in reply.answer.groups]
    for group in groups:
        if group.drift and group.group in names:
            yield Finding("drift", Status.WARNING, group.drift, "replace the pod for it", group.group)


def privileges(machine: Machine) -> Iterator[Finding]:
    if machine.lacking:
        yield Finding(
            "privileges",
            Status.PROBLEM,
            f"{' and '.join(machine.lacking)} are missing here, so that half of the checks are left out",
            "run it as root; the daemon needs the same: in a pod, capabilities NET_ADMIN and NET_RAW, hostNetwork",
        )
    else:
        yield Finding("privileges", Status.OK, f"{' and '.join(CAPABILITIES)} are there")


def realtime(machine: Machine) -> Iterator[Finding]:
    """Of the daemon that runs here, or else whether one that is started with our own rights would have it."""
    if not machine.config.realtime:
        return
    pids = {subject.daemon.pid for subject in machine.subjects if subject.daemon and subject.daemon.pid is not None}
    if any(not is_taken(pid) for pid in pids):
        yield Finding(
            "realtime",
            Status.WARNING,
            "the daemon has no real-time priority or no locked memory",
            "look for a warning of `realtime` in its log, which says what it needs; a change needs a restart",
        )
    elif pids:
        yield Finding("realtime", Status.OK, "the daemon has real-time priority and locked memory")
    elif lacking := missing(REALTIME_CAPABILITIES):
        yield Finding(
            "realtime",
            Status.WARNING,
            f"missing here: {', '.join(lacking)}",
            "run it as root; the daemon needs the same: in a pod, capabilities SYS_NICE and IPC_LOCK",
        )
    else:
        yield Finding("realtime", Status.OK, f"{' and '.join(REALTIME_CAPABILITIES)} are there")


def kernel(machine: Machine) -> Iterator[Finding]:
    release = os.uname().release
    match = re.match(r"(\d+)\.(\d+)", release)
    if match and (int(match[1]), int(match[2])) < KERNEL_LEAST:
        least = ".".join(map(str, KERNEL_LEAST))
        yield Finding("kernel", Status.PROBLEM, f"Linux {release}", f"{least} or newer is needed: upgrade it")
    else:
        yield Finding("kernel", Status.OK, f"Linux {release}")
    wants_ipv6 = any(6 in subject.config.families for subject in machine.subjects)
    if wants_ipv6 and not Path("/proc/net/if_inet6").exists():
        yield Finding("kernel", Status.PROBLEM, "IPv6 is switched off", "boot without ipv6.disable=1")


def daemon(subject: Subject) -> Iterator[Finding]:
    running = subject.daemon
    if running is None:
        yield Finding("daemon", Status.OK, "none runs for this group here", about=subject.name)
        return
    who = f"process {running.pid} serves it" if running.pid is not None else "one serves it"
    if running.age_s is None:
        yield Finding("daemon", Status.OK, who, about=subject.name)
    else:
        yield Finding("daemon", Status.OK, f"{who}, for {span(running.age_s)} now", about=subject.name)
