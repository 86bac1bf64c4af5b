"""What the checks examine: this machine, each of its groups on its interface, and what was heard there."""

import time
from collections.abc import Mapping
from contextlib import suppress
from os import sysconf
from pathlib import Path

from msgspec import Struct, field

from carpsidecar.config.group import Family, GroupConfig
from carpsidecar.config.sources import Config
from carpsidecar.doctor.listener import Observed
from carpsidecar.engine.settings import advskew_of
from carpsidecar.linux.capabilities import missing
from carpsidecar.linux.instance_lock import holders
from carpsidecar.linux.netlink import IPAddress, Link, Netlink
from carpsidecar.linux.routes import interface_for, source_for
from carpsidecar.protocol.hardened_packet import VERSION_HARDENED
from carpsidecar.protocol.packet import VERSION_COMPATIBLE
from carpsidecar.protocol.timing import interval_ticks, master_down_ticks

CAPABILITIES = ("CAP_NET_ADMIN", "CAP_NET_RAW")


class Daemon(Struct, frozen=True):
    """What serves a group here. `pid` and `age_s` are None where other processes are hidden from us."""

    pid: int | None
    age_s: float | None


class Subject(Struct):
    """One group on its interface; `link` is None where that is not there, or not known."""

    config: GroupConfig
    interface: str
    link: Link | None
    sources: Mapping[Family, IPAddress]
    daemon: Daemon | None
    netlink: Netlink
    observed: Observed | None = None
    """None where nothing could be heard; `unobserved` says why."""
    unobserved: str = ""

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        return tuple(address.ip for address in self.config.addresses)

    @property
    def passphrases(self) -> tuple[bytes, ...]:
        return self.config.passphrase.secrets

    @property
    def version(self) -> int:
        """That of the packets which this group's nodes send."""
        return VERSION_HARDENED if self.config.auth == "hardened" else VERSION_COMPATIBLE

    @property
    def advskew(self) -> int:
        """What it advertises while nothing demotes it."""
        source = next(iter(self.sources.values()), None)
        if self.config.auto_advskew and source is not None:
            return advskew_of(source, self.config.vhid)
        return self.config.settings.advskew

    @property
    def interval_ticks(self) -> int:
        return interval_ticks(self.config.settings.advbase, self.advskew)

    @property
    def master_down_ticks(self) -> int:
        settings = self.config.settings
        return master_down_ticks(settings.advbase, self.advskew, settings.dead_ratio)

    @property
    def uses_multicast(self) -> bool:
        return not self.config.destination.peers and not self.config.destination.broadcast


class Machine(Struct):
    config: Config
    subjects: list[Subject]
    lacking: list[str] = field(default_factory=list)
    """The capabilities that we lack."""

    @property
    def name(self) -> str:
        """Of no group."""
        return ""


def read_machine(config: Config, netlink: Netlink) -> Machine:
    virtual = {address.ip for group in config.groups for address in group.addresses}
    links = netlink.links()
    subjects = []
    for group in config.groups:
        interface = group.interface or ""
        if not interface and (found := interface_for(netlink, group.addresses[0].ip)) is not None:
            interface = found.name
        link = next((link for link in links if link.is_called(interface)), None)
        sources: dict[Family, IPAddress] = {}
        for family in group.families:
            given = next((ip for ip in group.sources if ip.version == family), None)
            source = given or (source_for(netlink, link.index, family, virtual) if link else None)
            if source is not None:
                sources[family] = source
        interface = link.name if link else interface
        daemon = find_daemon(interface, group.vhid) if interface else None
        subjects.append(Subject(group, interface, link, sources, daemon, netlink))
    return Machine(config, subjects, missing(CAPABILITIES))


def find_daemon(interface: str, vhid: int) -> Daemon | None:
    """Who holds the lock of this group. Source: proc(5), /proc/pid/fd and /proc/pid/stat."""
    for inode in holders(interface, vhid):
        pid = _owner(inode)
        return Daemon(pid, _age_s(pid) if pid is not None else None)
    return None


def _owner(inode: int) -> int | None:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with suppress(OSError):
                    if str(descriptor.readlink()) == f"socket:[{inode}]":
                        return int(process.name)
    return None


def _age_s(pid: int) -> float | None:
    try:
        started = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / sysconf("SC_CLK_TCK")
