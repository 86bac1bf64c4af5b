"""A bridge of this machine that may keep multicast from the group's members.

Source: Documentation/networking/bridge.rst, RFC 4541. A bridge floods 224.0.0.0/24 whatever it has snooped, but of
IPv6 only ff02::1, and of other groups only what a querier keeps it knowing of.
"""

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

from carpsidecar.doctor.finding import Finding, Status
from carpsidecar.doctor.scene import Subject
from carpsidecar.linux.netlink import IPAddress

_FLOODED = ip_network("224.0.0.0/24")


def bridge(subject: Subject) -> Iterator[Finding]:
    if not subject.uses_multicast or not subject.interface:
        return
    device = Path("/sys/class/net") / subject.interface
    for settings in (device / "bridge", device / "brport" / "bridge" / "bridge", device / "master" / "bridge"):
        if settings.is_dir():
            break
    else:
        return
    groups = [group for group in subject.config.destination.multicast if not _is_flooded(group)]
    name = settings.resolve().parent.name
    if groups and _read(settings / "multicast_snooping") == "1" and _read(settings / "multicast_querier") == "0":
        yield Finding(
            "snooping",
            Status.WARNING,
            f"bridge {name} snoops multicast and is no querier: where no other one is, it forgets who listens to"
            f" {', '.join(map(str, groups))}",
            f"ip link set {name} type bridge mcast_querier 1, or mcast_snooping 0",
            subject.name,
        )
    else:
        yield Finding("snooping", Status.OK, f"bridge {name} lets the groups through", about=subject.name)


def _is_flooded(group: IPAddress) -> bool:
    return group.version == 4 and group in _FLOODED


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
