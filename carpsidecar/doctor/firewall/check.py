"""Asks the firewalls of this machine, and says what their rules do to our advertisements."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from carpsidecar.config.group import Family
from carpsidecar.doctor.findings import Finding, check, ok, problem, skipped, warning
from carpsidecar.doctor.firewall import iptables, nft
from carpsidecar.doctor.firewall.ruleset import Direction, Drop, Traffic, drops
from carpsidecar.doctor.machine import Subject
from carpsidecar.linux.netlink import IPAddress

_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
_TIMEOUT_S = 10.0
_LEGACY = {4: "/proc/net/ip_tables_names", 6: "/proc/net/ip6_tables_names"}


class _Unreadable(Exception):
    """Why the rules of a firewall are not known."""


@check("firewall")
def firewall(subject: Subject) -> Iterator[Finding]:
    if not subject.interface:
        return
    inspected: dict[str, None] = {}
    unread: dict[str, None] = {}
    found = False
    for family in subject.config.families:
        for traffic in _traffic(subject, family):
            try:
                for drop in _drops(traffic, inspected):
                    found = True
                    yield _finding(subject, traffic, drop)
            except _Unreadable as error:
                unread[str(error)] = None
    if unread:
        yield skipped("; ".join(unread))
    elif not inspected:
        yield skipped("neither nft nor iptables-save is installed here")
    elif not found:
        yield ok(f"no rule that takes protocol 112 ({', '.join(inspected)})")


def _finding(subject: Subject, traffic: Traffic, drop: Drop) -> Finding:
    way = "from" if traffic.direction == "in" else "out to"
    what = "takes" if drop.certain else "may take"
    return (problem if drop.certain else warning)(
        f"{drop.where}; it {what} advertisements {way} the network (IPv{traffic.family})",
        f"let protocol 112 {traffic.direction} on {subject.interface} before that",
    )


def _traffic(subject: Subject, family: Family) -> Iterator[Traffic]:
    """What comes in and what goes out, in this family."""
    target = subject.config.destination
    own = subject.sources.get(family)
    group = next((ip for ip in target.multicast if ip.version == family), None)
    peers = tuple(ip for ip in target.peers if ip.version == family)
    heard: tuple[IPAddress, ...] = ()
    if subject.observed is not None:
        heard = tuple({s.source for s in subject.observed.carp(subject.config.vhid) if s.source.version == family})
    directions: tuple[Direction, Direction] = ("in", "out")
    destination: IPAddress | None
    sources: tuple[IPAddress, ...]
    for direction in directions:
        if direction == "in":
            destination, sources = (own, peers) if peers else (group, heard)
        else:
            destination = (peers[0] if len(peers) == 1 else None) if peers else group
            sources = (own,) if own else ()
        yield Traffic(direction, subject.interface, sources, destination, family)


def _drops(traffic: Traffic, inspected: dict[str, None]) -> Iterator[Drop]:
    """Raises: _Unreadable."""
    has_nft = shutil.which("nft", path=_PATH) is not None
    if has_nft:
        inspected["nft"] = None
        try:
            yield from drops(*nft.read(_output("nft", "-j", "list", "ruleset"), traffic))
        except ValueError as error:
            raise _Unreadable(str(error)) from None
    for tool in _iptables(traffic.family, has_nft):
        inspected[tool] = None
        try:
            yield from drops(*iptables.read(_output(tool), traffic, tool))
        except ValueError as error:
            raise _Unreadable(f"{tool}: {error}") from None


def _iptables(family: Family, has_nft: bool) -> Iterator[str]:
    """Only where there are such rules: asking for the old kind would load its kernel modules.

    What iptables keeps in nftables, nft tells, too.
    """
    prefix = "iptables" if family == 4 else "ip6tables"
    try:
        legacy = bool(Path(_LEGACY[family]).read_text().strip())
    except OSError:
        legacy = False
    if legacy:
        tools = [tool for tool in (f"{prefix}-legacy-save", f"{prefix}-save") if shutil.which(tool, path=_PATH)]
        yield from tools[:1]
    elif not has_nft and shutil.which(f"{prefix}-nft-save", path=_PATH):
        yield f"{prefix}-nft-save"


def _output(*command: str) -> str:
    """Raises: _Unreadable."""
    try:
        ended = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PATH": _PATH, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _Unreadable(f"`{' '.join(command)}` can't be run: {type(error).__name__}") from None
    if ended.returncode:
        why = " ".join(ended.stderr.split())[:200] or f"exit status {ended.returncode}"
        if "not permitted" in why or "Permission denied" in why:
            why = "CAP_NET_ADMIN is missing"
        raise _Unreadable(f"`{' '.join(command)}`: {why}")
    return ended.stdout
