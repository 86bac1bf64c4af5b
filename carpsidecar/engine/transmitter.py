"""Sending a group's advertisements: from which addresses, signed how, to whom."""

import errno
import os
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from carpsidecar import __version__
from carpsidecar.config.group import Family, GroupConfig
from carpsidecar.engine.interface import Interface
from carpsidecar.linux.netlink import Netlink
from carpsidecar.linux.routes import source_among
from carpsidecar.protocol.auth import Accepted, Claim, CompatibleAuth
from carpsidecar.protocol.effects import BOW_OUT
from carpsidecar.protocol.packet import IPAddress, header, pack
from carpsidecar.protocol.timing import BOW_OUT_ADVBASE, BOW_OUT_ADVSKEW

if TYPE_CHECKING:
    from carpsidecar.protocol.freshness import Reply
    from carpsidecar.protocol.hardened import Hardened
    from carpsidecar.protocol.keys import KeyRing

_FOR_NOBODY = pack(header(0, BOW_OUT_ADVSKEW, BOW_OUT_ADVBASE), bytes(8), bytes(20))


def authenticator_of(config: GroupConfig, now: float) -> "CompatibleAuth | Hardened":
    if config.auth == "hardened":
        # Here, since the compatible mode needs none of it.
        from carpsidecar.protocol.hardened import Hardened

        name = os.uname().nodename
        return Hardened(now, config.vhid, _keys(config), _ips(config), os.urandom, name, __version__)
    return CompatibleAuth(config.vhid, _accepted(config), int.from_bytes(os.urandom(8), "big"))


def _ips(config: GroupConfig) -> list[IPAddress]:
    return [address.ip for address in config.addresses]


def _keys(config: GroupConfig) -> "KeyRing":
    from carpsidecar.protocol.keys import KeyRing

    return KeyRing(config.passphrase.secrets)


def _accepted(config: GroupConfig) -> list[Accepted]:
    lists = [_ips(config), *config.also_accept]
    return [Accepted(secret, addresses) for addresses in lists for secret in config.passphrase.secrets]


class Transmitter:
    """One group's voice on its interface. `sources` is by family, and empty where there is none."""

    def __init__(self, netlink: Netlink, interface: Interface, config: GroupConfig, now: float) -> None:
        self.authenticator = authenticator_of(config, now)
        self.sources: dict[int, IPAddress] = {}
        self._last_sources: dict[int, IPAddress] = {}
        self._netlink = netlink
        self._interface = interface
        self._config = config

    def configure(self, config: GroupConfig) -> None:
        """Go on with another destination, other addresses or passphrases."""
        self._config = config
        if isinstance(self.authenticator, CompatibleAuth):
            self.authenticator.configure(_accepted(config))
        else:
            self.authenticator.configure(_keys(config), _ips(config))

    @property
    def source(self) -> IPAddress | None:
        """The address that peers break a tie by: the IPv4 one where there are both."""
        return self.sources.get(4) or self.sources.get(6)

    @property
    def missing_families(self) -> str:
        """In which of the families that it is to advertise it has no source, in words; empty where in none."""
        return " and ".join(f"IPv{family}" for family in self._config.families if family not in self.sources)

    def find_sources(self, virtual: Collection[IPAddress]) -> bool:
        """Choose the addresses to send from, never one of the virtual ones; whether they are others now."""
        before = self.sources
        found = {family: self._source(family, virtual) for family in self._config.families}
        self.sources = {family: source for family, source in found.items() if source is not None}
        self._last_sources = self.sources or self._last_sources
        return self.sources != before

    def send(self, now: float, claim: Claim) -> OSError | None:
        """Advertise over every family; the error where it left by none of them.

        A bow-out may leave from addresses that are gone: DHCP takes the old one off before it adds the new one, and
        the backups need not wait for that.
        """
        sources = self.sources
        if not sources and (claim.advbase, claim.advskew) == (BOW_OUT.advbase, BOW_OUT.advskew):
            sources = self._last_sources
        return self._send(sources, lambda source: self.authenticator.advertisement(now, source, claim))

    def _send(self, sources: Mapping[int, IPAddress], payload_from: Callable[[IPAddress], bytes]) -> OSError | None:
        failure: OSError | None = OSError(
            errno.EADDRNOTAVAIL, f"{self._interface.name} has no address to send from"
        )
        sent = False
        for source in sources.values():
            try:
                self._interface.send(payload_from(source), source, self._config.destination)
            except OSError as error:
                failure = error
            else:
                sent = True
        return None if sent else failure

    def try_sending(self) -> OSError | None:
        """Send what is for nobody by the way of all advertisements: socket, source, route, firewall, card.

        It is an advertisement of vhid 0, which no group can have: whoever hears it drops it for that.
        """
        return self._send(self.sources, lambda _source: _FOR_NOBODY)

    def reply(self, now: float, claim: Claim, reply: "Reply") -> None:
        """What the members of a hardened group ask each other, and answer; each is sent again when it is lost."""
        assert not isinstance(self.authenticator, CompatibleAuth)
        for source in self.sources.values():
            if reply.to is None or reply.to.version == source.version:
                payload = self.authenticator.reply(now, source, claim, reply)
                with suppress(OSError):
                    self._interface.send(payload, source, self._config.destination)

    def _source(self, family: Family, virtual: Collection[IPAddress]) -> IPAddress | None:
        link = self._interface.link
        if link is None:
            return None
        configured = next((ip for ip in self._config.sources if ip.version == family), None)
        if configured is None:
            return source_among(self._interface.addresses_beside(self._netlink), family, virtual)
        held = {address.interface.ip for address in self._netlink.addresses()}
        return configured if configured in held else None
