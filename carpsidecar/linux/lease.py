"""An address held on a lease: the kernel drops it by itself when the lease is not renewed.

Source: rtnetlink(7), inet_rtm_newaddr and __inet_insert_ifa in net/ipv4/devinet.c, inet6_rtm_newaddr in
net/ipv6/addrconf.c.

The address must stay the interface's last one and never be picked as a source, in whatever order own addresses
come and go. For IPv4 the kernel keeps a list: primary addresses by falling scope, each behind the older ones of its
scope, then the secondary ones. SIOCGIFADDR, `hostname -I`, kubelet and many others take the first.
- Beside an own address ours has the global scope, and stands behind those that were there before. An own one that
  comes later (the network was restarted) stands behind ours: then ours is moved, without being away for a moment.
- On an interface without an own address it has scope host: then it is no source for routes that name none, and
  answers ARP and traffic like any other (but not with arp_ignore=3).
- The configured prefix is kept only where the node has no own address in that network. Else whichever is first
  would be primary: the node would have no connected route of its own, and lose its own address together with ours.
The metric of the prefix's route lets any other route to that network go before it. Preferred lifetime 0 keeps IPv6
addresses from being picked as a source. The kernel lists IPv6 addresses newest first, so ours precedes the node's
own there; nothing can be done about that without taking the node's own address off.
"""

import errno
import os
import struct
from collections.abc import Collection, Sequence
from functools import cached_property
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import NamedTuple

from carpsidecar.linux.netlink import HeldAddress, IPAddress, IPInterface, Netlink, NetlinkError
from carpsidecar.linux.rtnetlink import (
    IFA_ADDRESS,
    IFA_CACHEINFO,
    IFA_F_NODAD,
    IFA_F_NOPREFIXROUTE,
    IFA_FLAGS,
    IFA_RT_PRIORITY,
    LEASED_ROUTE_METRIC,
    NLM_F_CREATE,
    NLM_F_REPLACE,
    RT_SCOPE_HOST,
    RT_SCOPE_UNIVERSE,
    RTM_DELADDR,
    RTM_NEWADDR,
    address_message,
    attribute,
    restoring,
)

_GONE = {errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENXIO}


class Lease:
    """The addresses of one group on one interface, held or let go together.

    Args:
        beside: what the interface holds now, else the kernel is asked; the group's own addresses among it do not
            matter.
        rearrange: whether the kernel may hold ours already, arranged for other neighbours than these.
    """

    def __init__(
        self,
        netlink: Netlink,
        index: int,
        addresses: Sequence[IPInterface],
        lifetime_s: int,
        beside: Collection[HeldAddress] | None = None,
        rearrange: bool = False,
    ) -> None:
        if lifetime_s < 1:
            raise ValueError(f"a lease lasts at least one second, not {lifetime_s}")
        self._netlink = netlink
        self.index = index
        self._addresses = tuple(addresses)
        self._forms = _forms(self._addresses, netlink.addresses(index) if beside is None else beside)
        self._lifetime_s = lifetime_s
        self.rearranges = rearrange
        """Whether the next renewal is to arrange them anew."""
        self.renewal = b"".join(
            _renewal(index, form, lifetime_s, position) for position, form in enumerate(self._forms)
        )
        self._removal = b"".join(
            _removal(position, index, address) for position, address in enumerate(self._addresses)
        )

    def renew(self, netlink: Netlink | None = None) -> None:
        """Add what is missing and prolong what is there, over our socket or that one. Goes through all addresses
        even when one fails."""
        netlink = netlink or self._netlink
        try:
            if self.rearranges:
                netlink.execute(self.moves(Found(netlink, self.index)))
                self.rearranges = False
            netlink.execute(self.renewal)
        except NetlinkError as error:
            raise self._explained("hold", error, error.failures) from None

    @property
    def stands_alone(self) -> bool:
        """Whether no other address depends on one of ours."""
        return not any(form.routed for form in self._forms)

    def moves(self, found: "Found") -> bytes:
        """The requests that bring IPv4 addresses into their form, and behind all own ones; none where they are so.

        Each address is held twice for a moment, with another prefix, since the kernel takes one twice only so.
        Secondary addresses of the node that depend on ours are put back as they were.
        """
        steps: list[bytes] = []
        for form in self._forms:
            ours = [address for address in found.held if address.leased and address.interface.ip == form.ip]
            if not ours or _in_place(form, ours, found.held):
                continue
            networks = {address.interface.network for address in ours}
            lengths = (length for length in range(32, 0, -1) if length != form.prefix_length)
            stopgaps = (IPv4Interface((form.ip.packed, length)) for length in lengths)
            stopgap = next(address for address in stopgaps if address.network not in found.networks)
            stopgap_form = _Form(form.ip, stopgap.network.prefixlen, form.scope, False)
            steps.append(_renewal(self.index, stopgap_form, self._lifetime_s))
            steps += [_exact_removal(self.index, address.interface) for address in ours]
            steps += [
                restoring(message)
                for address, message in found.reported
                if address.secondary and not address.leased and address.interface.network in networks
            ]
            steps.append(_renewal(self.index, form, self._lifetime_s))
            steps.append(_exact_removal(self.index, stopgap))
        return b"".join(steps)

    def release(self) -> None:
        """Take the addresses off. One that is not there, or whose interface is gone, is fine."""
        try:
            self._netlink.execute(self._removal)
        except NetlinkError as error:
            refused = tuple(failure for failure in error.failures if failure[1] not in _GONE)
            if refused:
                raise self._explained("release", error, refused) from None
            # Somebody may have added an IPv6 address with another prefix, and the kernel goes by both.
            rest = left_over(self._netlink, self._addresses)
            take_off(self._netlink, [held for held in rest if held.index == self.index])

    def _explained(
        self, verb: str, error: NetlinkError, failures: tuple[tuple[int, int, str], ...]
    ) -> NetlinkError:
        position, number, reason = failures[0]
        first = self._addresses[position]
        others = f" (nor {len(failures) - 1} more of {len(self._addresses)})" if len(failures) > 1 else ""
        detail = f" ({reason})" if reason else ""
        text = (
            f"cannot {verb} {first.ip}{others} on interface {self.index}: {os.strerror(number)}{detail}"
            f"{_hint(number, first)}"
        )
        return NetlinkError(number, text, failures)


class Found:
    """What an interface holds, in the kernel's order: `held` is its IPv4 addresses, `reported` the messages of all.

    Raises:
        OSError: it can't be read.
    """

    def __init__(self, netlink: Netlink, index: int) -> None:
        self.reported = netlink.address_messages(index)
        self.held = [address for address, _ in self.reported if address.interface.version == 4]

    @cached_property
    def networks(self) -> set[IPv4Network | IPv6Network]:
        return {address.interface.network for address in self.held}


def renew(leases: Sequence[Lease], netlink: Netlink) -> list[OSError | None]:
    """Renew them over this socket; what went wrong with each."""
    try:
        for index in {lease.index for lease in leases if lease.rearranges}:
            found = Found(netlink, index)
            moving = [one for one in leases if one.rearranges and one.index == index and one.stands_alone]
            netlink.execute(b"".join(lease.moves(found) for lease in moving))
            for lease in moving:
                lease.rearranges = False
        # The kernel goes through all of them, even when one fails.
        netlink.execute(b"".join(lease.renewal for lease in leases if not lease.rearranges))
    except OSError:
        again = leases
    else:
        again = [lease for lease in leases if lease.rearranges]
    return [_outcome(lease, netlink) if lease in again else None for lease in leases]


def _outcome(lease: Lease, netlink: Netlink) -> OSError | None:
    try:
        lease.renew(netlink)
    except OSError as error:
        return error
    return None


def left_over(netlink: Netlink, addresses: Collection[IPInterface] | Collection[IPAddress]) -> list[HeldAddress]:
    """Which of these addresses this node holds now, on any interface and with any prefix."""
    wanted = {a.ip if isinstance(a, IPv4Interface | IPv6Interface) else a for a in addresses}
    return [held for held in netlink.addresses() if held.interface.ip in wanted]


def take_off(netlink: Netlink, held: Sequence[HeldAddress]) -> None:
    """Remove addresses as they are held, wherever they came from."""
    batch = b"".join(_removal(i, address.index, address.interface) for i, address in enumerate(held))
    try:
        netlink.execute(batch)
    except NetlinkError as error:
        refused = tuple(failure for failure in error.failures if failure[1] not in _GONE)
        if refused:
            position, number, _words = refused[0]
            found = held[position]
            text = f"cannot take {found.interface} off interface {found.index}: {os.strerror(number)}"
            raise NetlinkError(number, text + _hint(number, found.interface), refused) from None


class _Form(NamedTuple):
    """How the kernel is to hold an address."""

    ip: IPAddress
    prefix_length: int
    scope: int
    routed: bool
    """Whether the prefix brings a route."""


def _forms(addresses: Sequence[IPInterface], beside: Collection[HeldAddress]) -> list[_Form]:
    ours = {address.ip for address in addresses}
    others = [held for held in beside if held.interface.ip not in ours]
    beside_own = any(
        other.interface.version == 4 and other.scope == RT_SCOPE_UNIVERSE and not other.leased for other in others
    )
    routes = {
        other.interface for other in others if other.interface.network.prefixlen < other.interface.max_prefixlen
    }
    forms = []
    for address in addresses:
        ip, network = address.ip, address.network
        around = any(
            ip in other.network or other.ip in network for other in routes if other.version == address.version
        )
        routed = network.prefixlen < ip.max_prefixlen and not around and not ip.is_link_local
        if routed:
            routes.add(address)
        if isinstance(address, IPv6Interface):
            forms.append(_Form(ip, network.prefixlen, RT_SCOPE_UNIVERSE, routed))
        else:
            scope = RT_SCOPE_UNIVERSE if beside_own else RT_SCOPE_HOST
            forms.append(_Form(ip, network.prefixlen if routed else ip.max_prefixlen, scope, routed))
    return forms


def _in_place(form: _Form, ours: Sequence[HeldAddress], held: Sequence[HeldAddress]) -> bool:
    first = ours[0]
    if len(ours) > 1 or (first.interface.network.prefixlen, first.scope) != (form.prefix_length, form.scope):
        return False
    behind = held[held.index(first) + 1 :]
    return not any(not (other.leased or other.secondary) and other.scope == RT_SCOPE_UNIVERSE for other in behind)


def _renewal(index: int, form: _Form, lifetime_s: int, position: int = 0) -> bytes:
    flags = 0 if form.ip.version == 4 else IFA_F_NODAD
    attrs = [attribute(IFA_ADDRESS, form.ip.packed)]
    if form.routed:
        attrs.append(attribute(IFA_RT_PRIORITY, struct.pack("=I", LEASED_ROUTE_METRIC)))
    else:
        flags |= IFA_F_NOPREFIXROUTE
    attrs.append(attribute(IFA_FLAGS, struct.pack("=I", flags)))
    attrs.append(attribute(IFA_CACHEINFO, struct.pack("=IIII", 0, lifetime_s, 0, 0)))  # preferred, valid
    how = NLM_F_CREATE | NLM_F_REPLACE
    return address_message(RTM_NEWADDR, how, position, index, form.ip, form.prefix_length, form.scope, attrs)


def _exact_removal(index: int, address: IPInterface) -> bytes:
    """Of the address with this prefix and no other."""
    attrs = [attribute(IFA_ADDRESS, address.ip.packed)]
    length = address.network.prefixlen
    return address_message(RTM_DELADDR, 0, 0, index, address.ip, length, RT_SCOPE_UNIVERSE, attrs)


def _removal(position: int, index: int, address: IPInterface) -> bytes:
    """Without IFA_ADDRESS the kernel removes an IPv4 address whatever its prefix."""
    ip, prefix_length = address.ip, address.network.prefixlen
    return address_message(RTM_DELADDR, 0, position, index, ip, prefix_length, RT_SCOPE_UNIVERSE, [])


def _hint(number: int, address: IPInterface) -> str:
    if number in (errno.ENODEV, errno.ENXIO):
        return ": the interface is gone"
    if number == errno.EPERM:
        return ": CAP_NET_ADMIN is needed"
    if number == errno.EACCES and address.version == 6:
        return ": IPv6 is off there, see sysctl net.ipv6.conf.<interface>.disable_ipv6"
    return ""
