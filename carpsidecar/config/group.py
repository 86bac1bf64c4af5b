"""One group's configuration as the engine uses it: checked, complete, with everything in its own type."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface, ip_address, ip_interface
from typing import Any, Literal

from carpsidecar.config.passphrase import PASSPHRASE_FIELDS, Passphrase, read_passphrase
from carpsidecar.config.schema import GROUP_FIELDS, AuthMode, ConfigError, Given
from carpsidecar.protocol.effects import Settings
from carpsidecar.protocol.packet import CARP_GROUP_IPV4, CARP_GROUP_IPV6, IPAddress

IPInterface = IPv4Interface | IPv6Interface
Family = Literal[4, 6]

ADDRESSES_MAX = 1024
HOOK_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Destination:
    """Where advertisements go: to the peers, else in a broadcast, else to the multicast group of each family."""

    multicast: tuple[IPAddress, ...]
    peers: tuple[IPAddress, ...] = ()
    broadcast: bool = False


@dataclass(frozen=True, slots=True)
class Hooks:
    """Commands to run after a change, each the words of its command line; empty means none.

    `extra` words follow the interface and the first address in the arguments. The last two say whether
    `on_backup` is run when the group starts, and when a master stops.
    """

    on_master: tuple[str, ...] = ()
    on_backup: tuple[str, ...] = ()
    on_fault: tuple[str, ...] = ()
    timeout_s: float = HOOK_TIMEOUT_S
    extra: tuple[str, ...] = ()
    backup_at_start: bool = True
    backup_at_stop: bool = True


@dataclass(frozen=True, slots=True)
class GroupConfig:
    """A vhid and its addresses on one interface.

    `interface` is None where it follows from the route to the first address. With `holds_addresses` false, the
    hooks add and remove them, as under ucarp.
    """

    name: str
    addresses: tuple[IPInterface, ...]
    vhid: int
    passphrase: Passphrase
    destination: Destination
    settings: Settings = Settings()
    interface: str | None = None
    auth: AuthMode = "carp"
    sources: tuple[IPAddress, ...] = ()
    sync_group: str | None = None
    hooks: Hooks = Hooks()
    ignore_link: bool = False
    holds_addresses: bool = True
    auto_advskew: bool = False
    """Whether the advskew follows from this node's address."""
    awaits_peers: bool = False
    """Whether the addresses of the other nodes are still to be told."""

    @property
    def families(self) -> tuple[Family, ...]:
        """The IP versions that advertisements travel by."""
        targets = self.destination.peers or self.destination.multicast
        return tuple(family for family in (4, 6) if any(ip.version == family for ip in targets))


def resolve_group(given: Mapping[str, Given]) -> tuple[GroupConfig, list[str]]:
    """Make a group of what was given, and tell what deserves a warning.

    Raises:
        ConfigError: a value is missing or can't be used.
    """
    values = {
        name: GROUP_FIELDS[name].convert(value) for name, value in given.items() if name not in PASSPHRASE_FIELDS
    }
    warnings = []
    addresses = _addresses(given, values)
    vhid = values.get("vhid")
    if vhid is None:
        vhid = addresses[0].packed[-1]
        if vhid == 0:
            raise ConfigError(f"vhid: {addresses[0].ip} ends in 0, which is no vhid: give one from 1 to 255")
        warnings.append(f"vhid: not given, so it is {vhid}, the last byte of {addresses[0].ip}")
    auth = values.get("auth", "carp")
    passphrase = read_passphrase(given, auth)
    if passphrase.warning:
        warnings.append(passphrase.warning)
    if values.get("dead_ratio") == 1:
        warnings.append(
            f"{given['dead_ratio'].origin}: with 1, one late advertisement moves the address: give 2 or more"
        )
    sources = _one_a_family("source", given, values)
    for address in addresses:
        if address.ip in sources:
            problem = "is a vip, which moves"
            raise GROUP_FIELDS["source"].misfit(Given(str(address.ip), given["source"].origin), problem)
    auto_advskew = values.get("advskew") == "auto"
    if auto_advskew:
        del values["advskew"]
    settings = Settings(
        **{name: values[name] for name in ("advbase", "advskew", "dead_ratio", "preempt") if name in values}
    )
    group = GroupConfig(
        name=values.get("name", f"vhid-{vhid}"),
        addresses=addresses,
        vhid=vhid,
        passphrase=passphrase,
        destination=_destination(given, values, addresses),
        settings=settings,
        interface=values.get("interface"),
        auth=auth,
        sources=sources,
        sync_group=values.get("sync_group"),
        hooks=_hooks(given, values),
        ignore_link=values.get("ignore_link", False),
        auto_advskew=auto_advskew,
    )
    return group, warnings


def with_advskew(group: GroupConfig, advskew: int | Literal["auto"]) -> GroupConfig:
    if advskew == "auto":
        return replace(group, auto_advskew=True)
    return replace(group, auto_advskew=False, settings=replace(group.settings, advskew=advskew))


def check_together(groups: Sequence[GroupConfig]) -> None:
    """What no group can tell alone.

    Raises:
        ConfigError: two groups share a name, an address, or a vhid on one interface.
    """
    names: dict[str, GroupConfig] = {}
    vhids: dict[tuple[str | None, int], GroupConfig] = {}
    owners: dict[IPAddress, GroupConfig] = {}
    for group in groups:
        other = vhids.setdefault((group.interface, group.vhid), group)
        if other is not group:
            where = f" on {group.interface}" if group.interface else ""
            raise ConfigError(f"vhid: {group.vhid} is given to two groups{where}: give each its own")
        if names.setdefault(group.name, group) is not group:
            raise ConfigError(f"name: two groups are called {group.name!r}: give each its own name")
        for address in group.addresses:
            if owners.setdefault(address.ip, group) is not group:
                raise ConfigError(f"vip: {address.ip} is in two groups: leave it in one")


def _texts(value: str | list[str] | None) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else value


def _addresses(given: Mapping[str, Given], values: Mapping[str, Any]) -> tuple[IPInterface, ...]:
    texts = _texts(values.get("vip"))
    if not texts:
        raise ConfigError("vip: none is given: give the virtual address, for example --vip 192.0.2.100")
    found: dict[IPAddress, IPInterface] = {}
    for text in texts:
        try:
            address = ip_interface(text)
        except ValueError:
            raise GROUP_FIELDS["vip"].misfit(Given(text, given["vip"].origin)) from None
        ip = address.ip
        if "%" in text:
            raise GROUP_FIELDS["vip"].misfit(Given(text, given["vip"].origin), "names an interface")
        edges = (address.network.network_address, address.network.broadcast_address)
        if (
            ip.is_multicast
            or ip.is_unspecified
            or ip.is_loopback
            or ip == IPv4Address("255.255.255.255")
            or (ip in edges and address.network.prefixlen < 31)
        ):
            raise GROUP_FIELDS["vip"].misfit(Given(text, given["vip"].origin), "is no address of a host")
        if ip in found:
            raise ConfigError(f"{given['vip'].origin}: {ip} is given twice: leave it out once")
        found[ip] = address
    if len(found) > ADDRESSES_MAX:
        raise ConfigError(f"{given['vip'].origin}: {len(found)} addresses: give at most {ADDRESSES_MAX} to a group")
    return tuple(found.values())


def _ips(name: str, given: Mapping[str, Given], values: Mapping[str, Any]) -> tuple[IPAddress, ...]:
    found = []
    for text in _texts(values.get(name)):
        try:
            found.append(ip_address(text))
        except ValueError:
            raise GROUP_FIELDS[name].misfit(Given(text, given[name].origin)) from None
    return tuple(dict.fromkeys(found))


def _one_a_family(name: str, given: Mapping[str, Given], values: Mapping[str, Any]) -> tuple[IPAddress, ...]:
    found = _ips(name, given, values)
    if len({ip.version for ip in found}) < len(found):
        raise ConfigError(f"{given[name].origin}: more than one address of a family: give one")
    return found


def _destination(
    given: Mapping[str, Given], values: Mapping[str, Any], addresses: Sequence[IPInterface]
) -> Destination:
    peers = _ips("peer", given, values)
    groups = {4: ip_address(CARP_GROUP_IPV4), 6: ip_address(CARP_GROUP_IPV6)}
    for ip in _one_a_family("multicast", given, values):
        if not ip.is_multicast:
            raise GROUP_FIELDS["multicast"].misfit(Given(str(ip), given["multicast"].origin), "is not multicast")
        groups[ip.version] = ip
    families = sorted({address.version for address in addresses})
    broadcast = values.get("broadcast", False)
    if broadcast and peers:
        raise ConfigError(f"{given['broadcast'].origin}: peers are given too: give one of the two")
    if broadcast and 6 in families:
        raise ConfigError(f"{given['broadcast'].origin}: IPv6 has no broadcast: leave it out, or use peers")
    return Destination(tuple(groups[family] for family in families), peers, broadcast)


def _hooks(given: Mapping[str, Given], values: Mapping[str, Any]) -> Hooks:
    def words(name: str) -> tuple[str, ...]:
        command = values.get(name, "")
        try:
            found = command if isinstance(command, list) else shlex.split(command)
        except ValueError:
            raise GROUP_FIELDS[name].misfit(given[name]) from None
        if any("\0" in word for word in found):
            raise GROUP_FIELDS[name].misfit(given[name], "has a zero byte")
        return tuple(found)

    return Hooks(
        on_master=words("on_master"),
        on_backup=words("on_backup"),
        on_fault=words("on_fault") or words("on_backup"),
        timeout_s=values.get("hook_timeout_s", HOOK_TIMEOUT_S),
    )
