"""rtnetlink messages: bytes from the kernel to our types, and our requests to bytes.

Source: rtnetlink(7), netlink(7), linux/if_addr.h, linux/if_link.h. pyroute2 encodes requests and decodes addresses
and routes; a dump of a thousand addresses takes 39 ms. By hand go the two that come in crowds:
- links, of whose fifty attributes four matter here: 10 µs against 120 to 180, and a node that starts a hundred pods
  reports each many times. pyroute2's ifinfmsg would also take 15 ms and 1.3 MB to import.
- the addresses of a lease: 2 µs against 70, and a thousand of them are encoded anew when an own address comes or
  goes.
"""

import struct
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface
from sys import byteorder
from typing import Any

from msgspec import Struct

from carpsidecar.linux.pyroute2_messages import ifaddrmsg, rtmsg

IPAddress = IPv4Address | IPv6Address
IPInterface = IPv4Interface | IPv6Interface

AF_UNSPEC, AF_INET, AF_INET6 = 0, 2, 10

NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26

NLM_F_REQUEST, NLM_F_DUMP_INTR, NLM_F_DUMP = 0x001, 0x010, 0x300
NLM_F_REPLACE, NLM_F_CREATE = 0x100, 0x400

IFA_F_SECONDARY, IFA_F_NODAD, IFA_F_DADFAILED, IFA_F_DEPRECATED = 0x01, 0x02, 0x08, 0x20
IFA_F_TENTATIVE, IFA_F_PERMANENT, IFA_F_NOPREFIXROUTE = 0x40, 0x80, 0x200

IFA_ADDRESS, IFA_LOCAL, IFA_CACHEINFO, IFA_FLAGS, IFA_RT_PRIORITY = 1, 2, 6, 8, 9
LEASED_ROUTE_METRIC = 65535
"""Of the route that an address with a prefix brings: an own address's route to that network goes before it, and a
lease with a route is known by it."""

RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RT_SCOPE_HOST = 0, 253, 254
RTN_UNICAST, RTN_LOCAL = 1, 2

_IFF_UP, _IFF_LOOPBACK, _IFF_RUNNING, _IFF_LOWER_UP = 0x1, 0x8, 0x40, 0x10000
_CARRYING = _IFF_UP | _IFF_RUNNING | _IFF_LOWER_UP
_ARPHRD_ETHER = 1
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MASTER, _IFLA_EXT_MASK = 1, 3, 10, 29
_IFLA_EVENT, _IFLA_PROP_LIST, _IFLA_ALT_IFNAME = 44, 52, 53
_EVENT_BONDING_FAILOVER, _EVENT_NOTIFY_PEERS = 3, 4
_TYPE_MASK = 0x3FFF
_RTEXT_FILTER_SKIP_STATS = 1 << 3
_FOREVER = 0xFFFFFFFF

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
LINK_HEADER = struct.Struct("=BxHiII")  # family, hardware type, index, flags, change
ADDRESS_HEADER = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_ATTRIBUTE = struct.Struct("=HH")


class Link(Struct, frozen=True):
    """An interface. `up` means that it is switched on and its carrier is there."""

    index: int
    name: str
    up: bool
    mac: bytes
    loopback: bool
    altnames: tuple[str, ...] = ()
    master: int | None = None
    """The index of the bridge or bond whose port it is."""

    def is_called(self, name: str) -> bool:
        """Whether `ip link show NAME` would show it."""
        return name == self.name or name in self.altnames


class HeldAddress(Struct, frozen=True):
    """An address that an interface of this node holds. `valid_s` is None where it is held for ever."""

    index: int
    interface: IPInterface
    permanent: bool
    scope: int
    secondary: bool
    deprecated: bool
    tentative: bool
    noprefixroute: bool
    valid_s: int | None
    route_metric: int = 0

    @property
    def leased(self) -> bool:
        """Has the shape of a lease of ours; what DHCP gives or routers advertise is preferred while fresh."""
        shaped = self.noprefixroute or self.route_metric == LEASED_ROUTE_METRIC
        return not self.permanent and self.deprecated and shaped


class Route(Struct, frozen=True):
    """How a destination is reached. Where it is `local`, an address of this node, `index` is the loopback."""

    index: int
    source: IPAddress | None
    gateway: bool
    local: bool


def split(datagram: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The messages of one datagram: type, flags, sequence number and the whole message."""
    offset = 0
    while offset + HEADER.size <= len(datagram):
        length, kind, flags, sequence, _port = HEADER.unpack_from(datagram, offset)
        if length < HEADER.size or offset + length > len(datagram):
            return
        yield kind, flags, sequence, datagram[offset : offset + length]
        offset += (length + 3) & ~3


def attributes(message: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    while offset + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, offset)
        if length < _ATTRIBUTE.size:
            return
        yield kind, message[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3


def link_from(message: bytes) -> Link:
    _family, hardware, index, flags, _change = LINK_HEADER.unpack_from(message, HEADER.size)
    name, mac, master = "", b"", None
    altnames: list[str] = []
    for kind, value in attributes(message, HEADER.size + LINK_HEADER.size):
        if kind == _IFLA_IFNAME:
            name = _text(value)
        elif kind == _IFLA_ADDRESS and hardware == _ARPHRD_ETHER:
            mac = value
        elif kind == _IFLA_MASTER:
            master = int.from_bytes(value, byteorder)
        elif kind & _TYPE_MASK == _IFLA_PROP_LIST:
            altnames = [_text(other) for kind, other in attributes(value, 0) if kind == _IFLA_ALT_IFNAME]
    up = flags & _CARRYING == _CARRYING
    return Link(index, name, up, mac, bool(flags & _IFF_LOOPBACK), tuple(altnames), master)


def has_moved(message: bytes) -> bool:
    """Whether this news of a link says that what is behind it must be announced anew: a bond failed over, a virtual
    machine was migrated."""
    events = (_EVENT_BONDING_FAILOVER, _EVENT_NOTIFY_PEERS)
    return any(
        kind == _IFLA_EVENT and int.from_bytes(value, byteorder) in events
        for kind, value in attributes(message, HEADER.size + LINK_HEADER.size)
    )


def address_from(message: bytes) -> HeldAddress:
    decoded = ifaddrmsg(message)
    decoded.decode()
    # On a point-to-point link IFA_ADDRESS is the other end; for plain IPv6 there is no IFA_LOCAL.
    text = decoded.get_attr("IFA_LOCAL") or decoded.get_attr("IFA_ADDRESS")
    wide = decoded.get_attr("IFA_FLAGS")
    flags = decoded["flags"] if wide is None else wide
    times = decoded.get_attr("IFA_CACHEINFO")
    valid_s = _FOREVER if times is None else times["ifa_valid"]
    return HeldAddress(
        index=decoded["index"],
        interface=ip_interface(f"{text}/{decoded['prefixlen']}"),
        permanent=bool(flags & IFA_F_PERMANENT),
        scope=decoded["scope"],
        secondary=bool(flags & IFA_F_SECONDARY),
        deprecated=bool(flags & IFA_F_DEPRECATED),
        tentative=bool(flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)),
        noprefixroute=bool(flags & IFA_F_NOPREFIXROUTE),
        valid_s=None if valid_s == _FOREVER else valid_s,
        route_metric=decoded.get_attr("IFA_RT_PRIORITY") or 0,
    )


def address_alone(message: bytes) -> tuple[int, IPAddress] | None:
    """The index of the interface, and its address."""
    *_, index = ADDRESS_HEADER.unpack_from(message, HEADER.size)
    found = {kind: value for kind, value in attributes(message, HEADER.size + ADDRESS_HEADER.size) if kind < 3}
    packed = found.get(IFA_LOCAL) or found.get(IFA_ADDRESS)
    if packed is None:
        return None
    return index, IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def route_from(message: bytes) -> Route | None:
    decoded = rtmsg(message)
    decoded.decode()
    index = decoded.get_attr("RTA_OIF")
    if index is None or decoded["type"] not in (RTN_UNICAST, RTN_LOCAL):
        return None
    source = decoded.get_attr("RTA_PREFSRC")
    gateway = decoded.get_attr("RTA_GATEWAY") or decoded.get_attr("RTA_VIA")
    return Route(index, ip_address(source) if source else None, gateway is not None, decoded["type"] == RTN_LOCAL)


def links_request() -> bytes:
    body = LINK_HEADER.pack(AF_UNSPEC, 0, 0, 0, 0)
    body += attribute(_IFLA_EXT_MASK, struct.pack("=I", _RTEXT_FILTER_SKIP_STATS))
    return HEADER.pack(HEADER.size + len(body), RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0) + body


def addresses_request(index: int | None) -> bytes:
    return _encoded(ifaddrmsg(), RTM_GETADDR, NLM_F_DUMP, {"family": AF_UNSPEC, "index": index or 0}, [])


def route_request(destination: IPAddress) -> bytes:
    fields = {"family": _family(destination), "dst_len": destination.max_prefixlen}
    return _encoded(rtmsg(), RTM_GETROUTE, 0, fields, [("RTA_DST", _without_zone(destination))])


def address_message(
    kind: int,
    flags: int,
    sequence: int,
    index: int,
    ip: IPAddress,
    prefix_length: int,
    scope: int,
    attrs: Sequence[bytes],
) -> bytes:
    """An RTM_NEWADDR or RTM_DELADDR, ready to be sent as often as one likes."""
    header = ADDRESS_HEADER.pack(_family(ip), prefix_length, 0, scope, index)
    body = b"".join((header, attribute(IFA_LOCAL, ip.packed), *attrs))
    return HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | flags, sequence, 0) + body


def restoring(message: bytes) -> bytes:
    """What the kernel reported of an address, as the request that puts it back with all its attributes."""
    length, _kind, _flags, _sequence, _port = HEADER.unpack_from(message)
    flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE
    return HEADER.pack(length, RTM_NEWADDR, flags, 0, 0) + message[HEADER.size :] + bytes(-length % 4)


def attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def _encoded(
    message: Any, kind: int, flags: int, fields: dict[str, int], attrs: Sequence[tuple[str, Any]]
) -> bytes:
    message.update(fields)
    message["attrs"] = attrs
    message["header"] = {"type": kind, "flags": NLM_F_REQUEST | flags, "sequence_number": 1, "pid": 0}
    message.encode()
    return bytes(message.data)


def _family(address: IPAddress) -> int:
    return AF_INET if address.version == 4 else AF_INET6


def _without_zone(address: IPAddress) -> str:
    return str(address).partition("%")[0]


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="surrogateescape")
