"""What the checks look at: the groups in their places, and what was heard there."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from carpsidecar.config.group import Family, GroupConfig
from carpsidecar.config.sources import Config
from carpsidecar.doctor.daemon import Daemon, find_daemon
from carpsidecar.doctor.hearing import Hearing
from carpsidecar.engine.settings import advskew_of
from carpsidecar.linux.capabilities import missing
from carpsidecar.linux.netlink import IPAddress, Link, Netlink
from carpsidecar.linux.routes import interface_for, source_for
from carpsidecar.protocol.packet import VERSION_COMPATIBLE, VERSION_HARDENED
from carpsidecar.protocol.timing import interval_ticks, master_down_ticks

CAPABILITIES = ("CAP_NET_ADMIN", "CAP_NET_RAW")


@dataclass(slots=True)
class Subject:
    """One group in its place; `link` is None where its interface is not there, or could not be told."""

    config: GroupConfig
    interface: str
    link: Link | None
    sources: Mapping[Family, IPAddress]
    daemon: Daemon | None
    netlink: Netlink
    hearing: Hearing | None = None
    """None where nothing could be heard; `deaf` says why."""
    deaf: str = ""

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        return tuple(address.ip for address in self.config.addresses)

    @property
    def version(self) -> int:
        """The first byte of what this group's nodes send."""
        return VERSION_HARDENED if self.config.auth == "hardened" else VERSION_COMPATIBLE

    @property
    def advskew(self) -> int:
        """What it advertises while nothing demotes it."""
        source = next(iter(self.sources.values()), None)
        if self.config.auto_advskew and source is not None:
            return advskew_of(source)
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


@dataclass(slots=True)
class Scene:
    config: Config
    subjects: list[Subject]
    lacking: list[str] = field(default_factory=list)
    """The capabilities that we lack."""
    clock_jump_s: float = 0.0
    """By how much the wall clock was set while we listened."""


def set_scene(config: Config, netlink: Netlink) -> Scene:
    virtual = {address.ip for group in config.groups for address in group.addresses}
    links = {link.name: link for link in netlink.links()}
    subjects = []
    for group in config.groups:
        interface = group.interface or ""
        if not interface and (found := interface_for(netlink, group.addresses[0].ip)) is not None:
            interface = found.name
        link = links.get(interface)
        sources: dict[Family, IPAddress] = {}
        for family in group.families:
            given = next((ip for ip in group.sources if ip.version == family), None)
            source = given or (source_for(netlink, link.index, family, virtual) if link else None)
            if source is not None:
                sources[family] = source
        daemon = find_daemon(interface, group.vhid) if interface else None
        subjects.append(Subject(group, interface, link, sources, daemon, netlink))
    return Scene(config, subjects, missing(CAPABILITIES))
