"""One group's configuration as the engine uses it: checked, complete, with everything in its own type."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface, ip_address, ip_interface
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import asdict, replace

from carpsidecar.config import schema
from carpsidecar.config.field import converted
from carpsidecar.config.passphrase import PASSPHRASE_FIELDS, Passphrase, read_passphrase
from carpsidecar.config.schema import GROUP_FIELDS, AuthMode, ConfigError, Fence, Given, InUse
from carpsidecar.config.trust import changeable_commands
from carpsidecar.protocol.effects import Settings
from carpsidecar.protocol.packet import CARP_GROUP_IPV4, CARP_GROUP_IPV6, IPAddress

IPInterface = IPv4Interface | IPv6Interface
Family = Literal[4, 6]

ADDRESSES_MAX = 1024
VHID_COMPATIBLE_MAX = 255
_ALSO_ACCEPT_MAX = 3
"""Each list costs a digest a packet."""
HOOKS = ("on_master", "on_backup", "on_fault")
_DEFAULTS = schema.Group()


class Destination(Struct, frozen=True):
    """Where advertisements go: to the peers, else in a broadcast, else to the multicast group of each family."""

    multicast: tuple[IPAddress, ...]
    peers: tuple[IPAddress, ...] = ()
    broadcast: bool = False


class Hooks(Struct, frozen=True):
    """Commands to run after a change, each the arguments of its command line; empty means none.

    `extra` arguments follow the interface and the first address in the arguments. The last two say whether
    `on_backup` is run when the group starts, and when a master stops.
    """

    on_master: tuple[str, ...] = ()
    on_backup: tuple[str, ...] = ()
    on_fault: tuple[str, ...] = ()
    timeout_s: float = _DEFAULTS.hook_timeout_s
    extra: tuple[str, ...] = ()
    backup_at_start: bool = True
    backup_at_stop: bool = True


class GroupConfig(Struct, frozen=True):
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
    auth: AuthMode = _DEFAULTS.auth
    also_accept: tuple[tuple[IPAddress, ...], ...] = ()
    """In the compatible mode: other lists of addresses that peers may have, while a change is rolled out."""
    sources: tuple[IPAddress, ...] = ()
    sync_group: str | None = None
    hooks: Hooks = Hooks()
    ignore_link: bool = _DEFAULTS.ignore_link
    fence: Fence = _DEFAULTS.fence
    probe: bool = _DEFAULTS.probe
    in_use: InUse = _DEFAULTS.in_use
    both_families: bool = _DEFAULTS.both_families
    holds_addresses: bool = True
    closed: bool = False
    """Whether the ports of this node itself are out of reach at the addresses."""
    auto_advskew: bool = False
    """Whether the advskew follows from this node's address."""
    shows_agreement: bool = False
    """Whether the other members can be seen by an API, and what they agree upon."""
    awaits_peers: bool = False
    """Whether the addresses of the other nodes are not known yet."""
    given: schema.Group = _DEFAULTS
    """All settings by the names of the file, without the passphrase itself."""

    @property
    def families(self) -> tuple[Family, ...]:
        """The IP versions that advertisements travel by."""
        targets = self.destination.peers or self.destination.multicast
        return tuple(family for family in (4, 6) if any(ip.version == family for ip in targets))

    def with_peers(self, peers: tuple[IPAddress, ...]) -> "GroupConfig":
        """The same, sent to these, as far as there are any of its families."""
        families = {ip.version for ip in self.destination.multicast}
        fitting = tuple(ip for ip in peers if ip.version in families) or peers
        return replace(self, destination=replace(self.destination, peers=fitting))

    def document(self) -> dict[str, Any]:
        """As a file could say it, without the passphrase itself."""
        given = {name: value for name, value in asdict(self.given).items() if value is not None}
        return {"name": self.name, **given}


def resolve_group(given: Mapping[str, Given], *, needs_passphrase: bool = True) -> tuple[GroupConfig, list[str]]:
    """Make a group of what was given, and list what deserves a warning.

    Args:
        needs_passphrase: if not, one that can't be had is a warning, and left empty.

    Raises:
        ConfigError: a value is missing or can't be used.
    """
    values = schema.Group(
        **converted(GROUP_FIELDS, {name: given[name] for name in given if name not in PASSPHRASE_FIELDS})
    )
    warnings: list[str] = []
    addresses = _addresses(given, values)
    vhid = values.vhid
    if vhid is None:
        vhid = addresses[0].packed[-1]
        if vhid == 0:
            raise ConfigError(f"vhid: {addresses[0].ip} ends in 0, which is no vhid: give one from 1 to 255")
    if values.auth == "carp" and vhid > VHID_COMPATIBLE_MAX:
        raise GROUP_FIELDS["vhid"].error(
            given["vhid"],
            f"is more than {VHID_COMPATIBLE_MAX}, which is CARP's last",
            f"give a number from 1 to {VHID_COMPATIBLE_MAX}, or set auth to hardened on all nodes",
        )
    try:
        passphrase = read_passphrase(given, values.auth)
    except ConfigError as error:
        if needs_passphrase:
            raise
        is_given = any(name in given for name in PASSPHRASE_FIELDS)
        why = str(error) if is_given else "it is in no file here: give --passphrase-file"
        passphrase = Passphrase(b"", (f"passphrase: digests are not checked: {why}",))
    warnings += passphrase.warnings
    if values.dead_ratio == 1:
        warnings.append(
            f"{given['dead_ratio'].origin}: with 1, one late advertisement moves the address: give 2 or more"
        )
    hooks = _hooks(given, values)
    for name in HOOKS:
        if name in given:
            warnings += [f"{given[name].origin}: {text}" for text in changeable_commands(getattr(hooks, name))]
    sources = _one_a_family("source", given, values)
    for address in addresses:
        if address.ip in sources:
            problem = "is a vip, which moves"
            raise GROUP_FIELDS["source"].error(Given(str(address.ip), given["source"].origin), problem)
    advskew = values.advskew
    name = values.name or f"vhid-{vhid}"
    group = GroupConfig(
        name=name,
        addresses=addresses,
        vhid=vhid,
        passphrase=passphrase,
        destination=_destination(given, values, addresses),
        settings=Settings(
            advbase=values.advbase,
            advskew=Settings().advskew if advskew == "auto" else advskew,
            dead_ratio=values.dead_ratio,
            preempt=values.preempt,
        ),
        interface=values.interface,
        auth=values.auth,
        also_accept=_also_accept(given, values),
        sources=sources,
        sync_group=values.sync_group,
        hooks=hooks,
        ignore_link=values.ignore_link,
        fence=values.fence,
        probe=values.probe,
        in_use=values.in_use,
        both_families=values.both_families,
        auto_advskew=advskew == "auto",
        given=replace(
            values,
            name=name,
            vhid=vhid,
            vip=[str(address) for address in addresses],
            passphrase_file=passphrase.file,
            previous_passphrase_file=passphrase.previous_file,
        ),
    )
    return group, warnings


def check_together(groups: Sequence[GroupConfig]) -> None:
    """What is only seen of all groups together.

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


def _addresses(given: Mapping[str, Given], values: schema.Group) -> tuple[IPInterface, ...]:
    texts = _texts(values.vip)
    if not texts:
        raise ConfigError("vip: none is given: give the virtual address, for example --vip 192.0.2.100")
    found: dict[IPAddress, IPInterface] = {}
    for text in texts:
        try:
            address = ip_interface(text)
        except ValueError:
            raise GROUP_FIELDS["vip"].error(Given(text, given["vip"].origin)) from None
        ip = address.ip
        if "%" in text:
            raise GROUP_FIELDS["vip"].error(Given(text, given["vip"].origin), "names an interface")
        edges = (address.network.network_address, address.network.broadcast_address)
        if (
            ip.is_multicast
            or ip.is_unspecified
            or ip.is_loopback
            or ip == IPv4Address("255.255.255.255")
            or (ip in edges and address.network.prefixlen < 31)
        ):
            raise GROUP_FIELDS["vip"].error(Given(text, given["vip"].origin), "is no address of a host")
        if ip in found:
            raise ConfigError(f"{given['vip'].origin}: {ip} is given twice: leave it out once")
        found[ip] = address
    if len(found) > ADDRESSES_MAX:
        raise ConfigError(f"{given['vip'].origin}: {len(found)} addresses: give at most {ADDRESSES_MAX} to a group")
    return tuple(found.values())


def _ips(name: str, given: Mapping[str, Given], values: schema.Group) -> tuple[IPAddress, ...]:
    found = []
    for text in _texts(getattr(values, name)):
        try:
            found.append(ip_address(text))
        except ValueError:
            raise GROUP_FIELDS[name].error(Given(text, given[name].origin)) from None
    return tuple(dict.fromkeys(found))


def _one_a_family(name: str, given: Mapping[str, Given], values: schema.Group) -> tuple[IPAddress, ...]:
    found = _ips(name, given, values)
    if len({ip.version for ip in found}) < len(found):
        raise ConfigError(f"{given[name].origin}: more than one address of a family: give one")
    return found


def _also_accept(given: Mapping[str, Given], values: schema.Group) -> tuple[tuple[IPAddress, ...], ...]:
    texts = _texts(values.also_accept)
    if not texts:
        return ()
    origin = given["also_accept"].origin
    if values.auth == "hardened":
        raise ConfigError(f"{origin}: members of a hardened group may have other addresses anyway: leave it out")
    if len(texts) > _ALSO_ACCEPT_MAX:
        raise ConfigError(f"{origin}: {len(texts)} lists: give at most {_ALSO_ACCEPT_MAX}")
    lists = []
    for text in texts:
        try:
            lists.append(tuple(ip_interface(part).ip for part in text.split()))
        except ValueError:
            raise GROUP_FIELDS["also_accept"].error(Given(text, origin)) from None
        if not lists[-1]:
            raise GROUP_FIELDS["also_accept"].error(Given(text, origin))
    return tuple(lists)


def _destination(given: Mapping[str, Given], values: schema.Group, addresses: Sequence[IPInterface]) -> Destination:
    peers = _ips("peer", given, values)
    groups = {4: ip_address(CARP_GROUP_IPV4), 6: ip_address(CARP_GROUP_IPV6)}
    for ip in _one_a_family("multicast", given, values):
        if not ip.is_multicast:
            raise GROUP_FIELDS["multicast"].error(Given(str(ip), given["multicast"].origin), "is not multicast")
        groups[ip.version] = ip
    families = sorted({address.version for address in addresses})
    if values.broadcast and peers:
        raise ConfigError(f"{given['broadcast'].origin}: peers are given too: give one of the two")
    if values.broadcast and 6 in families:
        raise ConfigError(f"{given['broadcast'].origin}: IPv6 has no broadcast: leave it out, or use peers")
    return Destination(tuple(groups[family] for family in families), peers, values.broadcast)


def _hooks(given: Mapping[str, Given], values: schema.Group) -> Hooks:
    def command(name: str) -> tuple[str, ...]:
        return GROUP_FIELDS[name].command(given[name]) if name in given else ()

    return Hooks(
        on_master=command("on_master"),
        on_backup=command("on_backup"),
        on_fault=command("on_fault") or command("on_backup"),
        timeout_s=values.hook_timeout_s,
    )
