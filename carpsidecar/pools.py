"""Pools of addresses for Services of type LoadBalancer: networks and ranges, of both families.

Engine and reporter both go by them: one to refuse what lies in none, the other to give out what is free.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from msgspec import Struct

IPAddress = IPv4Address | IPv6Address

_EDGES_FROM_PREFIX = 24
"""A network of IPv4 that is this large or larger is one of its own most likely, with the edges that no host has."""


class PoolError(ValueError):
    """What can't be a pool, or not beside another one, and what to do."""


class AddressRange(Struct, frozen=True):
    """From the first to the last, both among them."""

    first: IPAddress
    last: IPAddress

    def __contains__(self, address: IPAddress) -> bool:
        return address.version == self.first.version and int(self.first) <= int(address) <= int(self.last)

    def __iter__(self) -> Iterator[IPAddress]:
        kind = type(self.first)
        return map(kind, range(int(self.first), int(self.last) + 1))

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    @property
    def size(self) -> int:
        return int(self.last) - int(self.first) + 1

    def overlaps(self, other: "AddressRange") -> bool:
        return self.first in other or other.first in self


def parse_range(text: str) -> AddressRange:
    """`192.0.2.200-192.0.2.250`, `192.0.2.192/26`, `2001:db8::/120`, or one address.

    Of networks the edges are left out: the first address of IPv6, which routers answer for (RFC 4291, 2.6.1), and
    the first and the last of an IPv4 network of /24 or larger.

    Raises:
        PoolError: it is none of these, or addresses that no host can have are among them.
    """
    try:
        found = _parse(text.strip())
    except ValueError:
        raise PoolError(
            f"{text!r} can't be used: give a network such as 192.0.2.192/26, or a range such as"
            " 192.0.2.200-192.0.2.250"
        ) from None
    for address in (found.first, found.last):
        if address.is_multicast or address.is_unspecified or address.is_loopback or _is_limited_broadcast(address):
            raise PoolError(f"{text!r}: {address} is no address of a host: leave it out")
    if found.first.version == 6 and found.first.is_link_local:
        raise PoolError(f"{text!r}: a Service can't have a link-local address: give others")
    return found


def _parse(text: str) -> AddressRange:
    """Raises: ValueError."""
    if "%" in text:
        raise ValueError(text)
    first_text, dash, last_text = text.partition("-")
    if dash:
        first, last = ip_address(first_text.strip()), ip_address(last_text.strip())
        if first.version != last.version or int(first) > int(last):
            raise ValueError(text)
        return AddressRange(first, last)
    network = ip_network(text)
    first, last = network.network_address, network.broadcast_address
    if network.version == 6 and network.prefixlen < 127:
        first += 1
    elif network.version == 4 and network.prefixlen <= _EDGES_FROM_PREFIX:
        first, last = first + 1, last - 1
    return AddressRange(first, last)


def _is_limited_broadcast(address: IPAddress) -> bool:
    return address == IPv4Address("255.255.255.255")


class Pool(Struct, frozen=True):
    """`interface` is the engine's alone; None where it follows from the route to the address."""

    name: str
    ranges: tuple[AddressRange, ...]
    auto_assign: bool = True
    namespace_selector: str = ""
    interface: str | None = None

    def __contains__(self, address: IPAddress) -> bool:
        return any(address in one for one in self.ranges)

    def __iter__(self) -> Iterator[IPAddress]:
        """All addresses, in the order in which they are given; of IPv6 that may be very many."""
        for one in self.ranges:
            yield from one


class Pools:
    """Several, in the order in which they are given.

    Raises:
        PoolError: two have one name, or one address.
    """

    def __init__(self, pools: Iterable[Pool]) -> None:
        self._pools = tuple(pools)
        _check_names(self._pools)
        _check_overlaps(self._pools)

    def __iter__(self) -> Iterator[Pool]:
        return iter(self._pools)

    def __len__(self) -> int:
        return len(self._pools)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pools) and self._pools == other._pools

    def __hash__(self) -> int:
        return hash(self._pools)

    def named(self, name: str) -> Pool | None:
        return next((pool for pool in self._pools if pool.name == name), None)

    def pool_of(self, address: IPAddress) -> Pool | None:
        """The one that this address lies in."""
        return next((pool for pool in self._pools if address in pool), None)


def _check_names(pools: Iterable[Pool]) -> None:
    names: set[str] = set()
    for pool in pools:
        if pool.name in names:
            raise PoolError(f"two pools are called {pool.name!r}: give each its own name")
        names.add(pool.name)


def _check_overlaps(pools: Iterable[Pool]) -> None:
    """Neighbours in order suffice: of those that overlap two stand side by side, or the first is the widest."""
    listed = [(one.first.version, int(one.first), one, pool.name) for pool in pools for one in pool.ranges]
    listed.sort(key=lambda entry: entry[:2])
    widest: tuple[AddressRange, str] | None = None
    for _version, _first, one, name in listed:
        if widest is not None and one.overlaps(widest[0]):
            where = f"of pool {name}" if name == widest[1] else f"of pool {widest[1]} and pool {name}"
            raise PoolError(f"{widest[0]} and {one} {where} overlap: leave each address in one of them")
        if widest is None or widest[0].first.version != one.first.version or int(one.last) > int(widest[0].last):
            widest = one, name
