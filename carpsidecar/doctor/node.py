"""The machine itself: rights, kernel, the daemon, and the configuration's warnings."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from carpsidecar.doctor.findings import Finding, check, ok, problem, warning
from carpsidecar.doctor.machine import CAPABILITIES, Machine, Subject
from carpsidecar.linux.capabilities import missing
from carpsidecar.linux.realtime import CAPABILITIES as REALTIME_CAPABILITIES
from carpsidecar.linux.realtime import is_taken
from carpsidecar.status.client import NoEngine, send
from carpsidecar.status.formatting import span
from carpsidecar.status.model import NodeStatus
from carpsidecar.status.requests import Request

KERNEL_LEAST = (4, 18)


@check("configuration")
def configuration(machine: Machine) -> Iterator[Finding]:
    for text in machine.config.warnings:
        found, _, remedy = text.rpartition(": ")
        yield warning(found or text, remedy if found else "")
    if not machine.config.warnings:
        names = [subject.name for subject in machine.subjects]
        services = machine.config.service_addresses
        names += [f"those of Services in {len(services.pools)} pools"] if services is not None else []
        yield ok(f"groups: {', '.join(names)}")


@check("drift")
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
            yield warning(group.drift, "replace the pod for it", about=group.group)


@check("privileges")
def privileges(machine: Machine) -> Iterator[Finding]:
    if machine.lacking:
        yield problem(
            f"{' and '.join(machine.lacking)} are missing here, so that half of the checks are left out",
            "run it as root; the daemon needs the same: in a pod, capabilities NET_ADMIN and NET_RAW, hostNetwork",
        )
    else:
        yield ok(f"{' and '.join(CAPABILITIES)} are there")


@check("realtime")
def realtime(machine: Machine) -> Iterator[Finding]:
    """Of the daemon that runs here, or else whether one that is started with our own rights would have it."""
    if not machine.config.realtime:
        return
    pids = {subject.daemon.pid for subject in machine.subjects if subject.daemon and subject.daemon.pid is not None}
    if any(not is_taken(pid) for pid in pids):
        yield warning(
            "the daemon has no real-time priority or no locked memory",
            "look for a warning of `realtime` in its log, which says what it needs; a change needs a restart",
        )
    elif pids:
        yield ok("the daemon has real-time priority and locked memory")
    elif lacking := missing(REALTIME_CAPABILITIES):
        yield warning(
            f"missing here: {', '.join(lacking)}",
            "run it as root; the daemon needs the same: in a pod, capabilities SYS_NICE and IPC_LOCK",
        )
    else:
        yield ok(f"{' and '.join(REALTIME_CAPABILITIES)} are there")


@check("kernel")
def kernel(machine: Machine) -> Iterator[Finding]:
    release = os.uname().release
    match = re.match(r"(\d+)\.(\d+)", release)
    if match and (int(match[1]), int(match[2])) < KERNEL_LEAST:
        least = ".".join(map(str, KERNEL_LEAST))
        yield problem(f"Linux {release}", f"{least} or newer is needed: upgrade it")
    else:
        yield ok(f"Linux {release}")
    wants_ipv6 = any(6 in subject.config.families for subject in machine.subjects)
    if wants_ipv6 and not Path("/proc/net/if_inet6").exists():
        yield problem("IPv6 is switched off", "boot without ipv6.disable=1")


@check("daemon")
def daemon(subject: Subject) -> Iterator[Finding]:
    running = subject.daemon
    if running is None:
        yield ok("none runs for this group here")
        return
    who = f"process {running.pid} serves it" if running.pid is not None else "one serves it"
    if running.age_s is None:
        yield ok(who)
    else:
        yield ok(f"{who}, for {span(running.age_s)} now")
