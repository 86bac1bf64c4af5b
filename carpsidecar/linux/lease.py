"""An address held on a lease: the kernel drops it by itself when the lease is not renewed.

Source: rtnetlink(7), inet_rtm_newaddr and __inet_insert_ifa in net/ipv4/devinet.c, inet6_rtm_newaddr in
net/ipv6/addrconf.c.

IPv4 addresses are held as /32 with scope host, whatever prefix was configured, since otherwise they can become the
interface's primary address. With the prefix of the interface's own subnet and added first (the network was
restarted while we were master), ours becomes primary and the node's own address secondary: the node then has no
connected route, and dropping ours drops the node's own address too. As a /32 with a wider scope the kernel picks it
as source for routes without one. With scope host it is never picked, and answers ARP and traffic like any other
(but not with arp_ignore=3). Preferred lifetime 0 does the same for IPv6, which knows no primary address and keeps
its prefix.
"""

import errno
import os
import struct
from collections.abc import Collection, Sequence
from ipaddress import IPv4Interface, IPv6Interface

from carpsidecar.linux.netlink import HeldAddress, IPAddress, IPInterface, Netlink, NetlinkError
from carpsidecar.linux.rtnetlink import (
    IFA_ADDRESS,
    IFA_CACHEINFO,
    IFA_F_NODAD,
    IFA_F_NOPREFIXROUTE,
    IFA_FLAGS,
    NLM_F_CREATE,
    NLM_F_REPLACE,
    RT_SCOPE_HOST,
    RT_SCOPE_UNIVERSE,
    RTM_DELADDR,
    RTM_NEWADDR,
    address_message,
    attribute,
)

_GONE = {errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENXIO}


class Lease:
    """The addresses of one group on one interface, held or let go together."""

    def __init__(self, netlink: Netlink, index: int, addresses: Sequence[IPInterface], lifetime_s: int) -> None:
        if lifetime_s < 1:
            raise ValueError(f"a lease lasts at least one second, not {lifetime_s}")
        self._netlink = netlink
        self._index = index
        self._addresses = tuple(addresses)
        self._renewal = b"".join(
            _renewal(position, index, address, lifetime_s) for position, address in enumerate(self._addresses)
        )
        self._removal = b"".join(
            _removal(position, index, address) for position, address in enumerate(self._addresses)
        )

    def renew(self, netlink: Netlink | None = None) -> None:
        """Add what is missing and prolong what is there, over our socket or that one. Goes through all addresses
        even when one fails."""
        try:
            (netlink or self._netlink).execute(self._renewal)
        except NetlinkError as error:
            raise self._explained("hold", error, error.failures) from None

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
            take_off(self._netlink, [held for held in rest if held.index == self._index])

    def _explained(
        self, verb: str, error: NetlinkError, failures: tuple[tuple[int, int, str], ...]
    ) -> NetlinkError:
        position, number, words = failures[0]
        first = self._addresses[position]
        others = f" (nor {len(failures) - 1} more of {len(self._addresses)})" if len(failures) > 1 else ""
        said = f" ({words})" if words else ""
        text = (
            f"cannot {verb} {first.ip}{others} on interface {self._index}: {os.strerror(number)}{said}"
            f"{_hint(number, first)}"
        )
        return NetlinkError(number, text, failures)


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


def _renewal(position: int, index: int, address: IPInterface, lifetime_s: int) -> bytes:
    ip, prefix_length = address.ip, address.network.prefixlen
    flags = IFA_F_NOPREFIXROUTE
    scope = RT_SCOPE_UNIVERSE
    if isinstance(address, IPv4Interface):
        prefix_length = ip.max_prefixlen
        scope = RT_SCOPE_HOST
    else:
        flags |= IFA_F_NODAD
    attrs = (
        attribute(IFA_ADDRESS, ip.packed),
        attribute(IFA_FLAGS, struct.pack("=I", flags)),
        attribute(IFA_CACHEINFO, struct.pack("=IIII", 0, lifetime_s, 0, 0)),  # preferred, valid
    )
    how = NLM_F_CREATE | NLM_F_REPLACE
    return address_message(RTM_NEWADDR, how, position, index, ip, prefix_length, scope, attrs)


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
