"""Which interface an address belongs on, and which address to send advertisements from.

Source: ip-route(8), inet_select_addr in net/ipv4/devinet.c (primary before secondary, wide scope before narrow).
"""

from collections.abc import Collection
from typing import Literal

from carpsidecar.linux.netlink import HeldAddress, IPAddress, Link, Netlink
from carpsidecar.linux.rtnetlink import RT_SCOPE_HOST

IPVS_INTERFACE = "kube-ipvs0"


def interface_for(netlink: Netlink, address: IPAddress) -> Link | None:
    """The interface by which the address is reached directly, or that holds it now.

    None where a gateway stands between, where it is the loopback, and for an IPv6 link-local address that nobody
    holds yet, which would fit every interface.
    """
    links = {link.index: link for link in netlink.links() if not link.loopback}
    held = netlink.addresses()
    for own in held:
        if own.interface.ip == address and own.index in links:
            return links[own.index]
    if address.is_link_local and address.version == 6:
        return None
    route = netlink.route(address)
    if route is None:
        return None
    if route.local:  # held on the loopback: which subnet would it be in?
        around = [own for own in held if own.index in links and address in own.interface.network]
        around.sort(key=lambda own: own.interface.network.prefixlen)
        return links[around[-1].index] if around else None
    return None if route.gateway else links.get(route.index)


def network_of(netlink: Netlink, address: IPAddress) -> Link | None:
    """The interface whose network the address lies in, whether this node holds it or not.

    kube-proxy in IPVS mode has each Service's address on an interface of its own, on every node.
    """
    route = netlink.route(address)
    links = {link.index: link for link in netlink.links() if not link.loopback and link.name != IPVS_INTERFACE}
    if route is not None and not route.local:
        return None if route.gateway else links.get(route.index)
    around = [own for own in netlink.addresses() if own.index in links and address in own.interface.network]
    around = [own for own in around if own.interface.network.prefixlen < address.max_prefixlen]
    return links[max(around, key=lambda own: own.interface.network.prefixlen).index] if around else None


def source_for(
    netlink: Netlink, index: int, family: Literal[4, 6], avoid: Collection[IPAddress]
) -> IPAddress | None:
    """As `source_among`, of what the interface holds now."""
    return source_among(netlink.addresses(index), family, avoid)


def source_among(
    held: Collection[HeldAddress], family: Literal[4, 6], avoid: Collection[IPAddress]
) -> IPAddress | None:
    """The address to send advertisements from on an interface that holds these, never one of `avoid` nor one held
    on a lease.

    IPv4: primary before secondary, global before link scope. IPv6: link-local first, as CARP does on the BSDs.
    """
    usable = [
        own
        for own in held
        if own.interface.version == family
        and own.interface.ip not in avoid
        and own.scope < RT_SCOPE_HOST
        and not own.leased
        and not own.tentative
    ]
    usable.sort(key=_rank_v4 if family == 4 else _rank_v6)
    return usable[0].interface.ip if usable else None


def _rank_v4(own: HeldAddress) -> tuple[bool, bool, int]:
    return own.deprecated, own.secondary, own.scope


def _rank_v6(own: HeldAddress) -> tuple[bool, bool, bool]:
    return not own.interface.ip.is_link_local, own.deprecated, own.secondary
