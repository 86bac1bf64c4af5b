"""Sending a group's advertisements: from which addresses, signed how, to whom."""

import errno
import secrets
import time
from collections.abc import Collection

from carpsidecar.config.group import Family, GroupConfig
from carpsidecar.engine.interface import Interface
from carpsidecar.linux.netlink import Netlink
from carpsidecar.linux.routes import source_for
from carpsidecar.protocol.auth import Authenticator, CompatibleAuth, HardenedAuth
from carpsidecar.protocol.packet import IPAddress, header, pack


def authenticator_of(config: GroupConfig) -> Authenticator:
    passphrase = config.passphrase.secret
    addresses = [address.ip for address in config.addresses]
    if config.auth == "hardened":
        return HardenedAuth(passphrase, config.vhid, addresses)
    return CompatibleAuth(passphrase, config.vhid, addresses, secrets.randbits(64))


class Transmitter:
    """One group's voice on its interface. `sources` is by family, and empty where there is none."""

    def __init__(self, netlink: Netlink, interface: Interface, config: GroupConfig) -> None:
        self.authenticator = authenticator_of(config)
        self.sources: dict[int, IPAddress] = {}
        self._netlink = netlink
        self._interface = interface
        self._config = config

    def configure(self, config: GroupConfig) -> None:
        """Go on with another destination."""
        self._config = config

    @property
    def source(self) -> IPAddress | None:
        """The address that peers break a tie by: the IPv4 one where there are both."""
        return self.sources.get(4) or self.sources.get(6)

    def find_sources(self, virtual: Collection[IPAddress]) -> bool:
        """Choose the addresses to send from, never one of the virtual ones; whether they are others now."""
        before = self.sources
        found = {family: self._source(family, virtual) for family in self._config.families}
        self.sources = {family: source for family, source in found.items() if source is not None}
        return self.sources != before

    def send(self, advbase: int, advskew: int) -> OSError | None:
        """Advertise over every family; the error where it left by none of them."""
        head = header(self.authenticator.version, self._config.vhid, advskew, advbase)
        failure: OSError | None = OSError(
            errno.EADDRNOTAVAIL, f"{self._interface.name} has no address to send from"
        )
        sent = False
        for source in self.sources.values():
            counter = self.authenticator.next_counter(time.time_ns() // 1000)
            payload = pack(head, counter, self.authenticator.digest(head, source, counter))
            try:
                self._interface.send(payload, source, self._config.destination)
            except OSError as error:
                failure = error
            else:
                sent = True
        return None if sent else failure

    def _source(self, family: Family, virtual: Collection[IPAddress]) -> IPAddress | None:
        link = self._interface.link
        if link is None:
            return None
        configured = next((ip for ip in self._config.sources if ip.version == family), None)
        if configured is None:
            return source_for(self._netlink, link.index, family, virtual)
        held = {address.interface.ip for address in self._netlink.addresses()}
        return configured if configured in held else None
