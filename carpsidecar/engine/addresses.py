"""A group's addresses on its interface: added, renewed, put back, removed."""

import errno
from functools import partial
from ipaddress import IPv4Interface, IPv6Interface
from logging import ERROR

from carpsidecar.config.group import GroupConfig
from carpsidecar.engine.fencing import Fencing
from carpsidecar.engine.interface import Interface
from carpsidecar.engine.renewals import Done, Renewer
from carpsidecar.linux.lease import Lease
from carpsidecar.linux.netlink import IPInterface, Netlink
from carpsidecar.logs import in_words, log
from carpsidecar.protocol.packet import IPAddress

_UNUSED: dict[int, IPInterface] = {4: IPv4Interface("192.0.0.8/32"), 6: IPv6Interface("100::/128")}
"""That no machine has, nor asks for: the dummy address of RFC 7600, and one to discard packets to (RFC 6666)."""


class HeldAddresses:
    """Adds nothing where the configuration leaves the addresses to hooks."""

    def __init__(
        self, netlink: Netlink, interface: Interface, config: GroupConfig, renewer: Renewer, fencing: Fencing
    ) -> None:
        self.ips = _ips(config)
        self._netlink = netlink
        self._interface = interface
        self._config = config
        self._renewer = renewer
        self._fencing = fencing
        self.fence_wanted = False
        self._closed = False
        self._lease: Lease | None = None
        self._lease_is_for = (0, 0)
        self._holds = self._rearranges = False
        self._renewing: Lease | None = None
        """While its renewal is under way."""

    def fence(self, wanted: bool, live_until: float = 0.0) -> None:
        """Whether they are to be silent unless they are renewed; a master's, until then."""
        if wanted:
            self._fencing.add(self.ips, live_until)
        elif self.fence_wanted:
            self._fencing.remove(self.ips)
        self.fence_wanted = wanted

    def close_ports(self, wanted: bool) -> None:
        """Whether the ports of this node itself are to be out of reach at them."""
        if wanted:
            self._fencing.close_ports(self.ips)
        elif self._closed:
            self._fencing.open_ports(self.ips)
        self._closed = wanted

    @property
    def open_ports(self) -> str:
        """Why its ports are in reach though they are not to be; empty where they are as wanted."""
        return self._fencing.ports_lacking if self._closed else ""

    @property
    def fence_lacking(self) -> str:
        """Why there is no fence around them though one is wanted; empty where there is."""
        return self._fencing.lacking if self.fence_wanted else ""

    def configure(self, config: GroupConfig) -> None:
        """Hold the addresses of this configuration from now on, in the place of the former ones.

        Those that stay are not touched. What is new comes with the next `add`.
        """
        former, former_ips = set(self._config.addresses) - set(config.addresses), self.ips
        self._config = config
        self.ips = _ips(config)
        if self._lease is not None and former:
            self._await_renewal()
            try:
                Lease(self._netlink, self._lease_is_for[0], sorted(former, key=str), 1).release()
            except OSError as error:
                self._log_release(error)
        self._lease = None
        if self.fence_wanted:
            self._fencing.remove(former_ips.keys() - self.ips.keys())

    def add(self, lifetime_s: int, live_until: float) -> None:
        """Have the kernel hold the addresses for so long from now on, whether it holds them already or not.

        Raises:
            OSError: it refuses, or the interface is not there.
        """
        if self._config.holds_addresses:
            lease = self._lease_for(lifetime_s)
            self._await_renewal()
            if self.fence_wanted:
                self._fencing.renew_now(self.ips, live_until)
            self._holds = True
            lease.renew()

    def keep_live(self, live_until: float) -> bool:
        """They were advertised, and are to be heard until then. Whether there is a fence that was told."""
        return self.fence_wanted and self._fencing.renew(self.ips, live_until)

    def renew(self, lifetime_s: int, done: Done) -> bool:
        """The same without waiting for the kernel: `done` is called in the loop, with what went wrong or None.

        Returns:
            False where there is nothing to wait for, and `done` is not called.

        Raises:
            OSError: the interface is not there.
        """
        if not self._config.holds_addresses:
            return False
        self._renewing = self._lease_for(lifetime_s)
        self._renewer.renew(self._renewing, partial(self._renewed, done, self._renewing))
        return True

    def try_adding(self) -> OSError | None:
        """Have the kernel add an address that nobody uses, in each family, and remove it: why it can't."""
        link = self._interface.link
        if link is None:
            return OSError(errno.ENODEV, f"interface {self._interface.name} is not there")
        families = {ip.version for ip in self.ips}
        lease = Lease(self._netlink, link.index, [_UNUSED[family] for family in families], 1, beside=())
        try:
            lease.renew()
            lease.release()
        except OSError as error:
            return error
        return None

    def remove(self) -> None:
        """Nothing that was begun before comes after it."""
        if self.fence_wanted:
            self._fencing.expire(self.ips)
        self._forget_renewal()
        if self._lease is None:
            return
        self._holds = False
        try:
            self._lease.release()
        except OSError as error:
            self._log_release(error)

    def _log_release(self, error: OSError) -> None:
        # With its interface an address is gone anyway.
        if self._interface.link is not None:
            log(
                ERROR,
                "release_failed",
                f"an address could not be taken off, and ends by itself: {in_words(error)}",
                group=self._config.name,
            )

    def rearrange(self) -> None:
        """Own addresses came to the interface or went: with the next renewal, ours take their place among them."""
        self._rearranges = self._holds
        if not self._holds:
            self._lease = None

    def lost(self, removed: set[IPAddress]) -> set[IPAddress]:
        """Which of those that the kernel dropped are ours."""
        return removed & self.ips.keys() if self._lease is not None else set()

    def _renewed(self, done: Done, lease: Lease, error: OSError | None) -> None:
        if lease is self._renewing:
            self._renewing = None
        done(error)

    def _await_renewal(self) -> None:
        """It is done, and its outcome reported, whatever follows."""
        if self._renewing is not None:
            self._renewer.wait_for(self._renewing)

    def _forget_renewal(self) -> None:
        if self._renewing is not None:
            self._renewer.forget(self._renewing)
            self._renewing = None

    def _lease_for(self, lifetime_s: int) -> Lease:
        link = self._interface.link
        if link is None:
            raise OSError(f"interface {self._interface.name} is not there")
        if self._lease is None or self._rearranges or self._lease_is_for != (link.index, lifetime_s):
            beside = self._interface.addresses_beside(self._netlink)
            rearrange, self._rearranges = self._rearranges, False
            self._lease = Lease(
                self._netlink, link.index, self._config.addresses, lifetime_s, beside, rearrange=rearrange
            )
            self._lease_is_for = (link.index, lifetime_s)
        return self._lease


def _ips(config: GroupConfig) -> dict[IPAddress, None]:
    return dict.fromkeys(address.ip for address in config.addresses)
