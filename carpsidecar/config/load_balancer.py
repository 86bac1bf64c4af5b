"""Services of type LoadBalancer: which addresses they may have, and the group that each of these becomes."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from carpsidecar.config.field import ConfigError, Given, converted, fields_of, mapping, setting, show
from carpsidecar.config.group import GroupConfig, IPInterface, resolve_group
from carpsidecar.config.passphrase import PASSPHRASE_FIELDS
from carpsidecar.config.schema import GROUP_FIELDS, INTERFACE_PATTERN, NAME_PATTERN
from carpsidecar.ipc.messages import SERVICE_ADDRESSES_MAX
from carpsidecar.ipc.settings import LoadBalancerPool, LoadBalancerSettings
from carpsidecar.pools import IPAddress, Pool, PoolError, Pools, parse_range

NodePorts = Literal["closed", "open"]

POOLS_MAX = 64
RANGES_MAX = 256
"""Of one pool."""
GROUP_PREFIX = "lb-"
"""Of the name of each group; its vhid follows."""
SHARED = (
    *PASSPHRASE_FIELDS,
    *("interface", "advbase", "dead_ratio", "source", "peer", "multicast", "broadcast"),
    *("fence", "probe", "in_use", "ignore_link"),
)
"""What stands beside the groups and holds for these too."""


class LoadBalancer(Struct, kw_only=True, frozen=True):
    """Services of type LoadBalancer."""

    class_: Annotated[
        str,
        setting(
            "loadBalancerClass of the Services that are ours",
            "give a name such as carpsidecar.io/carp",
            metavar="NAME",
            min_length=1,
            max_length=253,
        ),
    ] = msgspec.field(name="class", default="carpsidecar.io/carp")
    default: Annotated[bool, setting("whether Services that name no class are ours too")] = False
    vhids: Annotated[
        str,
        setting(
            "vhids for them, the same on every node, and none of another group's",
            "give a range such as 1000-1999, within 1 to 65535",
            metavar="FIRST-LAST",
            pattern=r"^[0-9]{1,5}-[0-9]{1,5}(?!\n)$",
        ),
    ] = "1000-1999"
    max_addresses: Annotated[
        int, setting("addresses of Services that this node takes part for", ge=1, le=SERVICE_ADDRESSES_MAX)
    ] = 1000
    rebalance_delay_s: Annotated[
        float,
        setting(
            "seconds before a node that came back takes its share of the addresses again; -1: never",
            ge=-1,
            le=86400,
        ),
    ] = 60.0
    node_ports: Annotated[
        NodePorts,
        setting(
            "whether ports of the node itself, such as ssh's, are reached at the addresses of Services;"
            " needs nftables to close them"
        ),
    ] = "closed"


class PoolGiven(Struct, kw_only=True, frozen=True):
    """One of the pools."""

    name: Annotated[str, setting("the pool's name", "give a short name in lower case", pattern=NAME_PATTERN)]
    addresses: Annotated[
        list[str],
        setting(
            "networks and ranges, of both families",
            "give a list such as [192.0.2.200-192.0.2.250, 2001:db8::/120]",
            metavar="LIST",
            min_length=1,
            max_length=RANGES_MAX,
        ),
    ]
    auto_assign: Annotated[bool, setting("whether Services that name no pool get addresses of it")] = True
    namespace_selector: Annotated[
        str | None,
        setting(
            "labels of the namespaces whose Services may have addresses of it",
            "give a label selector such as team=web",
            fallback="all namespaces",
            metavar="SELECTOR",
            max_length=1024,
        ),
    ] = None
    interface: Annotated[
        str | None,
        setting(
            "network interface of its addresses",
            "give the name of a network interface, as `ip link` shows it",
            fallback="that of the route to the address",
            metavar="NAME",
            pattern=INTERFACE_PATTERN,
        ),
    ] = None


LOAD_BALANCER_FIELDS = fields_of(LoadBalancer)
POOL_FIELDS = fields_of(PoolGiven)


class ServiceAddresses(Struct, frozen=True):
    """What the engine needs to know of them."""

    pools: Pools
    vhids: range
    max_addresses: int
    closes_node_ports: bool
    like: Mapping[int, GroupConfig]
    """A group of the first address, for each family that the pools have."""
    given: LoadBalancer

    def group(self, address: IPAddress, vhid: int, interface: str | None = None) -> GroupConfig:
        """The group of an address that lies in a pool; on this interface where the configuration names none."""
        like = self.like[address.version]
        pool = self.pools.pool_of(address)
        own: IPInterface = type(like.addresses[0])(address)
        return replace(
            like,
            name=f"{GROUP_PREFIX}{vhid}",
            vhid=vhid,
            addresses=(own,),
            closed=self.closes_node_ports,
            settings=like.settings._replace(starts_soon=like.in_use == "refuse"),
            interface=(pool and pool.interface) or like.interface or interface,
        )

    def awaiting_peers(self, awaits: bool) -> "ServiceAddresses":
        """Whether the addresses of the other nodes are not known yet."""
        like = {family: replace(group, awaits_peers=awaits) for family, group in self.like.items()}
        return replace(self, like=like)

    def document(self) -> dict[str, Any]:
        """As a file could say it: with the settings that stand beside it, without the passphrase itself."""
        pools = [
            {
                "name": pool.name,
                "addresses": list(map(str, pool.ranges)),
                **({} if pool.auto_assign else {"auto_assign": False}),
                **({"namespace_selector": pool.namespace_selector} if pool.namespace_selector else {}),
                **({"interface": pool.interface} if pool.interface else {}),
            }
            for pool in self.pools
        ]
        changed = {
            name: value
            for name, value in msgspec.to_builtins(self.given).items()
            if value != LOAD_BALANCER_FIELDS[name].default
        }
        group = next(iter(self.like.values())).document()
        beside = {
            name: group[name] for name in SHARED if name in group and group[name] != GROUP_FIELDS[name].default
        }
        return {**beside, "load_balancer": {**changed, "pools": pools}}

    def reported(self) -> LoadBalancerSettings:
        """For the reporter."""
        return LoadBalancerSettings(
            class_=self.given.class_,
            default=self.given.default,
            vhid_first=self.vhids[0],
            vhid_last=self.vhids[-1],
            addresses_max=self.max_addresses,
            rebalance_delay_s=self.given.rebalance_delay_s,
            pools=[
                LoadBalancerPool(
                    name=pool.name,
                    addresses=list(map(str, pool.ranges)),
                    auto_assign=pool.auto_assign,
                    namespace_selector=pool.namespace_selector,
                )
                for pool in self.pools
            ],
        )


def resolve_load_balancer(
    given: Given, beside: Mapping[str, Given], *, needs_passphrase: bool = True
) -> tuple[ServiceAddresses, list[str]]:
    """Make it of what the file has, and list what deserves a warning.

    Args:
        given: what stands at `load_balancer`.
        beside: the settings of groups that hold for all of them.

    Raises:
        ConfigError: a value is missing or can't be used.
    """
    content = mapping(given, {*LOAD_BALANCER_FIELDS, "pools"})
    pools = _pools(content.pop("pools", Given(None, f"{given.origin}.pools")))
    values = msgspec.convert(converted(LOAD_BALANCER_FIELDS, content), LoadBalancer)
    vhids = _vhids(content.get("vhids", Given(values.vhids, f"{given.origin}.vhids")))
    shared = {name: value for name, value in beside.items() if name in SHARED}
    like: dict[int, GroupConfig] = {}
    warnings: list[str] = []
    for address in (one.first for pool in pools for one in pool.ranges):
        if address.version not in like:
            like[address.version], more = _like(shared, address, vhids[0], needs_passphrase)
            warnings += [line for line in more if line not in warnings]
    return ServiceAddresses(
        pools, vhids, values.max_addresses, values.node_ports == "closed", like, values
    ), warnings


def _like(
    shared: Mapping[str, Given], address: IPAddress, vhid: int, needs_passphrase: bool
) -> tuple[GroupConfig, list[str]]:
    """Raises: ConfigError."""
    own = {"vip": [str(address)], "vhid": vhid, "auth": "hardened", "preempt": True}
    origin = "load_balancer"
    family = {name: value for name, value in shared.items() if name != "broadcast" or address.version == 4}
    return resolve_group(
        {**family, **{name: Given(value, origin) for name, value in own.items()}}, needs_passphrase=needs_passphrase
    )


def check_beside(addresses: ServiceAddresses, groups: Sequence[GroupConfig]) -> None:
    """
    Raises:
        ConfigError: a group has a name, a vhid or an address that is for Services.
    """
    for group in groups:
        if group.name.startswith(GROUP_PREFIX) and group.name.removeprefix(GROUP_PREFIX).isdigit():
            raise ConfigError(
                f"name: {group.name!r} is what the group of a Service's address is called: give another one"
            )
        if group.vhid in addresses.vhids:
            first, last = addresses.vhids[0], addresses.vhids[-1]
            raise ConfigError(
                f"vhid: {group.vhid} of group {group.name} is one of load_balancer.vhids, {first}-{last}: give"
                " another one, or other vhids to load_balancer"
            )
        for own in group.addresses:
            pool = addresses.pools.pool_of(own.ip)
            if pool is not None:
                raise ConfigError(
                    f"vip: {own.ip} of group {group.name} is in pool {pool.name} of load_balancer too: leave it out"
                    " of one of them"
                )


def _vhids(given: Given) -> range:
    """Raises: ConfigError."""
    first, last = map(int, given.value.split("-"))
    if not 1 <= first <= last <= 65535:
        raise LOAD_BALANCER_FIELDS["vhids"].error(given)
    return range(first, last + 1)


def _pools(given: Given) -> Pools:
    """Raises: ConfigError."""
    if not given.value:
        raise ConfigError(f"{given.origin}: none is given: give a list of pools, each with a name and addresses")
    if not isinstance(given.value, list):
        raise ConfigError(f"{given.origin}: {show(given.value)} can't be used: give a list of mappings")
    if len(given.value) > POOLS_MAX:
        raise ConfigError(f"{given.origin}: {len(given.value)} pools: give at most {POOLS_MAX}")
    pools = [_pool(Given(value, f"{given.origin}[{index}]")) for index, value in enumerate(given.value)]
    try:
        return Pools(pools)
    except PoolError as error:
        raise ConfigError(f"{given.origin}: {error}") from None


def _pool(given: Given) -> Pool:
    """Raises: ConfigError."""
    content = mapping(given, POOL_FIELDS)
    for name in ("name", "addresses"):
        if name not in content:
            raise ConfigError(f"{given.origin}.{name}: none is given: {POOL_FIELDS[name].remedy}")
    values = PoolGiven(**converted(POOL_FIELDS, content))
    try:
        ranges = tuple(map(parse_range, values.addresses))
    except PoolError as error:
        raise ConfigError(f"{content['addresses'].origin}: {error}") from None
    return Pool(values.name, ranges, values.auto_assign, values.namespace_selector or "", values.interface)
