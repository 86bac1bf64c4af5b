"""One group: what is configured and commanded, what its interface hears, and what its member is told of both.

What the member then wants done is in `shell`.
"""

import asyncio
import time
from collections.abc import Collection
from logging import INFO

from carpsidecar.config.group import GroupConfig
from carpsidecar.engine.family_warning import FamilyWarning
from carpsidecar.engine.fencing import is_wanted
from carpsidecar.engine.hooks import HookRunner
from carpsidecar.engine.interface import Interface
from carpsidecar.engine.peers import PeersHeard
from carpsidecar.engine.settings import settings_in_force
from carpsidecar.engine.shell import Host, Shell
from carpsidecar.ipc.messages import SetServiceAddress
from carpsidecar.member.actions import Role
from carpsidecar.protocol.auth import Authenticator
from carpsidecar.protocol.effects import BOW_OUT, State
from carpsidecar.protocol.hardened_packet import HardenedPacket, Kind
from carpsidecar.protocol.packet import Advertisement, IPAddress
from carpsidecar.protocol.timing import TICKS_PER_S, interval_ticks

_REPORT_MASTER_AFTER_S = 0.05
_BOWS_OUT_FOR_S = 1.0
_CARP_MAC = bytes.fromhex("00005e0001")
"""And the vhid: what a BSD's carp interface has."""


class Group(Shell):
    """A vhid and its addresses on one interface, while it is configured."""

    def __init__(
        self, host: Host, interface: Interface, config: GroupConfig, hooks: HookRunner | None = None
    ) -> None:
        super().__init__(host, interface, config, hooks)
        self.configured = config
        self.peers = PeersHeard()
        self.drift = ""
        """What the configuration on disk has that can't be put into force."""
        self.started = False
        self.services: tuple[str, ...] = ()
        """Whose address it is, where it is one of Services."""
        self._advskew: int | None = None
        """What is used instead of the configured one."""
        self._peers_known = bool(config.destination.peers)
        self._discovered: tuple[IPAddress, ...] | None = None
        """The peers that became known later."""
        self.family_warning = FamilyWarning(self.log)
        self._reporting_master: asyncio.TimerHandle | None = None

    # What the interface and others need to know of it.

    @property
    def is_master(self) -> bool:
        return self.member.is_master

    @property
    def authenticator(self) -> Authenticator:
        return self.transmitter.authenticator

    @property
    def members(self) -> Collection[IPAddress]:
        """Whoever was heard with a digest that fits; in the hardened mode, who is believed."""
        return self.peers.authentic if self.membership is None else self.membership.sources

    @property
    def sources(self) -> Collection[IPAddress]:
        return self.transmitter.sources.values()

    @property
    def ips(self) -> Collection[IPAddress]:
        return self.addresses.ips.keys()

    @property
    def sync_group(self) -> str | None:
        return self.config.sync_group

    @property
    def lease_left_s(self) -> float | None:
        """How long the kernel holds the addresses yet; None where it does not for us."""
        if not self.is_master or not self.config.holds_addresses:
            return None
        return self.member.lease.left_s(self._loop.time())

    @property
    def _trouble(self) -> str:
        """Why it can't take part in the election; empty where it can."""
        return self.participation.trouble(self.config, self.interface, self.transmitter, self._peers_known)

    @property
    def demoted_since_s(self) -> dict[str, float]:
        """By cause, seconds since the epoch."""
        epoch_s = time.time() - self._loop.time()
        return {cause: epoch_s + since for cause, since in self.member.demotions.since.items()}

    # Events.

    def start(self) -> None:
        self.find_sources()
        self.started = True
        self.member.role_withheld = self.participation.role_shown(self._trouble)
        self.member.start(self._loop.time(), self._trouble)
        self.participation.remind(self.member.trouble)
        self.family_warning.settle(self.config, self.transmitter)
        self._advance()
        if self.membership is not None:
            self.membership.start()

    def fence(self) -> None:
        """Have the addresses silent on this node unless it is master, and its ports closed there, where wanted."""
        self.addresses.fence(is_wanted(self.config), self._live_until if self.is_master else 0.0)
        self.addresses.close_ports(self.config.closed)

    def stop(self) -> None:
        self._stopped = True
        self.member.stop(self._loop.time())
        self._advance()
        if self.membership is not None:
            self.membership.leave()

    def close(self) -> None:
        """Nothing happens any more, except that its last command may still run."""
        self.addresses.fence(False)
        self.addresses.close_ports(False)
        self.announcements.stop()
        if self.membership is not None:
            self.membership.close()
        self.participation.remind("")
        for timer in (self._timer, self._reporting_master):
            if timer is not None:
                timer.cancel()

    def bow_out_for_former_self(self) -> None:
        """A run before this one left its addresses: its backups learn that it is not coming back."""
        self.find_sources()
        now = self._loop.time()
        self._bows_out_until = now + _BOWS_OUT_FOR_S
        self.transmitter.send(now, self._claim(BOW_OUT))

    def find_sources(self) -> None:
        if self.transmitter.find_sources(self._host.virtual()):
            self.interface.sources_changed()
        self.member.election.source = self.transmitter.source or self.member.election.source
        self._settle_advskew()

    def surroundings_changed(self) -> None:
        """The link or the addresses of the interface are not what they were."""
        self.find_sources()
        self._settle_trouble()
        if self.family_warning.settle(self.config, self.transmitter):
            self._host.changed(self.config.name)
        self.addresses.rearrange()
        self.member.renew(self._loop.time())
        self._advance()

    def _settle_trouble(self) -> None:
        """What kept it from taking part may be over, or something may do so now."""
        before = self.member.trouble
        self.member.role_withheld = self.participation.role_shown(self._trouble)
        self.member.link_changed(self._loop.time(), self._trouble)
        if self.started:
            self.participation.remind(self.member.trouble)
        self._advance()
        if self.membership is not None and before and not self._trouble:
            self.membership.start()

    def moved(self) -> None:
        """The segment reaches this interface by another way, or under another hardware address."""
        if self.is_master and (self.config.holds_addresses or self.hooks.master_is_ready):
            self.announcements.announce()

    def heard(self, now: float, packet: Advertisement | HardenedPacket, source: IPAddress) -> None:
        """A valid packet of this group."""
        if isinstance(packet, Advertisement) or packet.kind == Kind.ADVERTISEMENT:
            self._heard_advertisement(now, packet, source)
        self.answer_members()

    def answer_members(self) -> None:
        """In the hardened mode: what came may be a question, or bring one up."""
        if self.membership is not None:
            self.membership.advance()

    def _heard_advertisement(
        self, now: float, advertisement: Advertisement | HardenedPacket, source: IPAddress
    ) -> None:
        self.counts["received"] += 1
        now_s = time.time()
        advbase, advskew = advertisement.advbase, advertisement.advskew
        self.peers.heard(source, _interval_s(advbase, advskew), now_s)
        if self.member.state is State.BACKUP:
            self.master_advertised_s = now_s
            if source != self.member.master and self._reporting_master is None:
                # Not for each packet: senders may take turns, or somebody pretends that they do.
                self._reporting_master = self._loop.call_later(_REPORT_MASTER_AFTER_S, self._report_master)
        was_master = self.is_master
        self.member.advertisement_received(now, advbase, advskew, advertisement.demotion, source)
        self._advance()
        if was_master and self.is_master and self.peers.outranked(now_s):
            self._host.changed(self.config.name)

    def heard_unauthentic(self, advbase: int, advskew: int, source: IPAddress) -> None:
        """An advertisement of this vhid whose digest does not fit."""
        self.peers.heard_unauthentic(source, _interval_s(advbase, advskew), time.time())
        self.disagreed(source)

    def disagreed(self, source: IPAddress) -> None:
        """A packet came from there that is meant for this group, and does not fit."""
        self.member.disagreed(self._loop.time(), source)

    def claimed(self, address: IPAddress, mac: bytes, solicited: bool) -> None:
        """Somebody else says that it has this address, unasked or as the answer to a question of ours."""
        if self._host.is_own(mac):
            return
        if solicited or not self.is_master:
            self.member.address_answered(self._loop.time(), address, mac)
            self._advance()
        if self.is_master:
            by_peer = mac == _CARP_MAC + bytes((self.config.vhid & 255,))
            self.announcements.claimed(address, mac, by_peer)

    def addresses_removed(self, removed: set[IPAddress]) -> None:
        """The kernel dropped these, and they are not back: the lease ran out, or somebody took them off."""
        if self.is_master:
            self.member.addresses_removed(self._loop.time(), self.addresses.lost(removed))
            self._advance()

    def addresses_found(self, there: Collection[IPAddress]) -> None:
        """The kernel has these on the interface, whoever added them."""
        found = self.addresses.ips.keys() & there
        if self.config.holds_addresses and not self.is_master and found != self.member.strays:
            self.member.addresses_found(self._loop.time(), found)
            self._advance()

    def share_refreshes(self, gap_min_s: float) -> None:
        """Refresh advertisements are to lie so far apart at least."""
        self.member.election.refresh_gap_min_s = gap_min_s

    def flooded(self, now: float) -> None:
        """More arrives at this interface than can be read."""
        self.member.election.flooded(now)
        self._advance()

    def siblings_degraded(self, names: Collection[str]) -> None:
        """Of the groups that move with this one, these can't serve."""
        self.member.siblings_degraded(self._loop.time(), names)
        self._advance()

    # Commands.

    def demote(self, cause: str, amount: int, bow_out: bool = False, text: str = "") -> None:
        """Advertise this much more skew for this cause; 0 takes it back. With `bow_out`, hand over at once."""
        self.member.demote(self._loop.time(), cause, amount, bow_out, text)
        self._advance()

    def step_down(self, text: str = "") -> None:
        """Hand over to a backup, once."""
        self.member.step_down(self._loop.time(), text)
        self._advance()

    def promote(self, text: str = "") -> None:
        """Take over from whoever is master, where nothing blocks it."""
        if self.is_master:
            self.log.log(INFO, "promotion", "asked to become master, and is it already", text=text)
        self.member.promote(self._loop.time(), text)
        self._advance()

    def withhold(self, role: Role, text: str) -> None:
        """Take no part for this reason, and show this role; an empty text ends it."""
        self.participation.withhold(role, text)
        if self.started:
            self.surroundings_changed()

    def serve(self, command: SetServiceAddress) -> None:
        """Take part for these Services, or, where this node is not eligible, take no part."""
        before = self.services, self.participation.ineligible
        self.services = tuple(command.services)
        self.participation.decide(command)
        self.use_advskew(command.advskew)
        if self.started and (self.services, self.participation.ineligible) != before:
            self._settle_trouble()
            self._host.changed(self.config.name)

    def use_advskew(self, advskew: int | None) -> None:
        """Instead of the configured one; None goes back to that."""
        self._advskew = advskew
        self._settle_advskew()

    def use_peers(self, peers: tuple[IPAddress, ...]) -> None:
        """Send to these, as far as they are of a family of the addresses; to the multicast group where none is.

        Raises:
            OSError: a socket can't be opened.
        """
        self._discovered = peers
        known, self._peers_known = self._peers_known, True
        before, self.config = self.config, self._with_peers(self.config)
        if self.config != before:
            self.transmitter.configure(self.config)
            self.interface.open_missing()
            self.find_sources()
        if not known:
            self.surroundings_changed()

    def _with_peers(self, config: GroupConfig) -> GroupConfig:
        return config if self._discovered is None else config.with_peers(self._discovered)

    def reconfigure(self, config: GroupConfig) -> None:
        """Go on with other settings, passphrases, addresses and peers, in the same state.

        Raises:
            OSError: a socket can't be opened.
        """
        before, self.configured = self.configured, config
        self.config = self._with_peers(config)
        self._peers_known = self._peers_known or bool(config.destination.peers)
        self.hooks.configure(config)
        self.transmitter.configure(self.config)
        self.interface.open_missing()
        if config.addresses != before.addresses:
            self.addresses.configure(config)
            self.announcements.configure(self.ips)
            self.interface.claims.watch_soon()
            self.member.addresses_changed(self._loop.time())
        self.fence()
        self._configure_takeover()
        settings = settings_in_force(self.config, self._advskew, self.transmitter.source)
        self.member.reconfigure(self._loop.time(), settings)
        self._advance()
        self.surroundings_changed()
        if self.membership is not None:
            self.membership.configured()

    def _settle_advskew(self) -> None:
        settings = settings_in_force(self.config, self._advskew, self.transmitter.source)
        self.member.use_settings(self._loop.time(), settings)
        self._advance()

    def _report_master(self) -> None:
        self._reporting_master = None
        self._host.changed(self.config.name)


def _interval_s(advbase: int, advskew: int) -> float:
    return interval_ticks(advbase, advskew) / TICKS_PER_S
