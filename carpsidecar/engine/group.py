"""One group: its member, bound to this node's kernel, wire and hooks.

The member decides. Here events are fed to it, its actions performed in order, and its timer armed (`_advance`).
Whatever is slow or may fail (hooks, logs, the channel to the reporter) happens beside it.
"""

import asyncio
import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address
from logging import INFO, WARNING
from typing import assert_never

from carpsidecar.config.group import GroupConfig
from carpsidecar.engine.addresses import HeldAddresses, Renewer
from carpsidecar.engine.announcements import Announcements
from carpsidecar.engine.group_log import GroupLog
from carpsidecar.engine.hooks import HookRunner
from carpsidecar.engine.interface import Interface
from carpsidecar.engine.peers import PeersHeard
from carpsidecar.engine.role_hooks import RoleHooks
from carpsidecar.engine.settings import settings_in_force
from carpsidecar.engine.transmitter import Transmitter
from carpsidecar.ipc.messages import Notice, Role
from carpsidecar.linux.netlink import Netlink
from carpsidecar.logs import in_words
from carpsidecar.member.actions import (
    Action,
    AddAddresses,
    AddressesFailed,
    AddressesLost,
    Announce,
    Degraded,
    DemotionChanged,
    RemoveAddresses,
    RenewAddresses,
    RoleChanged,
    Stalled,
    StatusChanged,
    Waiting,
)
from carpsidecar.member.member import Member
from carpsidecar.protocol.auth import Authenticator
from carpsidecar.protocol.effects import BOW_OUT, Advertise, Reason, State
from carpsidecar.protocol.packet import Advertisement, IPAddress
from carpsidecar.protocol.timing import TICKS_PER_S, interval_ticks

_REPORT_MASTER_AFTER_S = 0.05


@dataclass(frozen=True, slots=True)
class Host:
    """What the groups of one engine share.

    Args:
        virtual: all virtual addresses of this node, none of which may be a source.
        changed: called after anything that a person would want to know.
        degraded: called when the groups that move with this one are to hand over, or need not any more.
        notice: called with what somebody should look at.
    """

    loop: asyncio.AbstractEventLoop
    netlink: Netlink
    renewer: Renewer
    virtual: Callable[[], Collection[IPAddress]]
    changed: Callable[["Group"], None]
    degraded: Callable[["Group"], None]
    notice: Callable[[Notice], None]


class Group:
    """A vhid and its addresses on one interface, while it is configured.

    Args:
        hooks: what still runs the last command of a group of this name, if something does.
    """

    def __init__(
        self, host: Host, interface: Interface, config: GroupConfig, hooks: HookRunner | None = None
    ) -> None:
        self.configured = config
        self.config = config
        """As configured, but for peers that became known later."""
        self.interface = interface
        self.member = Member(config.settings, IPv4Address(0))
        self.log = GroupLog(host.loop, config.name, interface.name)
        self.transmitter = Transmitter(host.netlink, interface, config)
        self.addresses = HeldAddresses(host.netlink, interface, config, host.renewer)
        self.announcements = Announcements(host.loop, interface, self.addresses.ips, self.log, host.notice)
        self.hooks = RoleHooks(host.loop, config, self._master_hook_ended, hooks)
        self.peers = PeersHeard()
        self.started = False
        self.since_s = time.time()
        self.counts: Counter[str] = Counter()
        self.transitions: dict[Role, Counter[str]] = {}
        self.master_advertised_s: float | None = None
        self._host = host
        self._loop = host.loop
        self._advskew: int | None = None
        """What is used instead of the configured one."""
        self._peers_known = bool(config.destination.peers)
        self._timer: asyncio.TimerHandle | None = None
        self._reporting_master: asyncio.TimerHandle | None = None
        self._degraded_changed = False

    # What the interface and others need to know of it.

    @property
    def is_master(self) -> bool:
        return self.member.is_master

    @property
    def authenticator(self) -> Authenticator:
        return self.transmitter.authenticator

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
        if self.interface.link is None:
            return f"interface {self.interface.name} is not there"
        if not self.interface.up and not self.config.ignore_link:
            return f"the link of {self.interface.name} is down"
        if not self.transmitter.sources:
            return f"{self.interface.name} has no address to advertise from"
        if self.config.awaits_peers and not self._peers_known:
            return "waiting for the addresses of the other nodes"
        return ""

    # Events.

    def start(self) -> None:
        self.find_sources()
        self.started = True
        self.member.start(self._loop.time(), self._trouble)
        self._advance()

    def stop(self) -> None:
        self.member.stop(self._loop.time())
        self._advance()

    def close(self) -> None:
        """Nothing happens any more, except that its last command may still run."""
        self.announcements.stop()
        for timer in (self._timer, self._reporting_master):
            if timer is not None:
                timer.cancel()

    def bow_out_for_former_self(self) -> None:
        """A run before this one left its addresses: its backups learn that it is not coming back."""
        self.transmitter.send(BOW_OUT.advbase, BOW_OUT.advskew)

    def find_sources(self) -> None:
        if self.transmitter.find_sources(self._host.virtual()):
            self.interface.sources_changed()
        self.member.election.source = self.transmitter.source or self.member.election.source
        self._settle_advskew()

    def surroundings_changed(self) -> None:
        """The link or the addresses of the interface are not what they were."""
        self.find_sources()
        self.member.link_changed(self._loop.time(), self._trouble)
        self._advance()

    def heard(self, now: float, advertisement: Advertisement, source: IPAddress) -> None:
        """A valid advertisement of this group."""
        self.counts["received"] += 1
        now_s = time.time()
        advbase, advskew = advertisement.advbase, advertisement.advskew
        self.peers.heard(source, _interval_s(advbase, advskew), now_s)
        if self.member.state is State.BACKUP:
            self.master_advertised_s = now_s
            if source != self.member.master and self._reporting_master is None:
                # Not for each packet: senders may take turns, or somebody pretends that they do.
                self._reporting_master = self._loop.call_later(_REPORT_MASTER_AFTER_S, self._report_master)
        self.member.advertisement_received(now, advbase, advskew, advertisement.demotion, source)
        self._advance()

    def heard_unauthentic(self, advbase: int, advskew: int, source: IPAddress) -> None:
        """An advertisement of this vhid whose digest does not fit."""
        self.peers.heard_doubtful(source, _interval_s(advbase, advskew), time.time())

    def claimed(self, address: IPAddress, mac: bytes) -> None:
        """Another machine says that it has this address."""
        self.announcements.claimed(address, mac, self.is_master)

    def addresses_removed(self, removed: set[IPAddress]) -> None:
        """The kernel dropped these: the lease ran out, we released them, or somebody took them off."""
        if self.is_master:
            self.member.addresses_removed(self._loop.time(), self.addresses.lost(removed))
            self._advance()

    def share_refreshes(self, gap_min_s: float) -> None:
        """Refresh advertisements are to lie so far apart at least."""
        self.member.election.refresh_gap_min_s = gap_min_s

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

    def use_advskew(self, advskew: int | None) -> None:
        """Instead of the configured one; None goes back to that."""
        self._advskew = advskew
        self._settle_advskew()

    def use_peers(self, peers: tuple[IPAddress, ...]) -> None:
        """Send to these, as far as they are of a family of the addresses; to the multicast group where none is.

        Raises:
            OSError: a socket can't be opened.
        """
        families = {ip.version for ip in self.config.destination.multicast}
        fitting = tuple(ip for ip in peers if ip.version in families) or peers
        known, self._peers_known = self._peers_known, True
        if fitting != self.config.destination.peers:
            destination = dataclasses.replace(self.config.destination, peers=fitting)
            self.config = dataclasses.replace(self.config, destination=destination)
            self.transmitter.configure(self.config)
            self.interface.open_missing()
            self.find_sources()
        if not known:
            self.surroundings_changed()

    def reconfigure(self, config: GroupConfig) -> None:
        self.configured = config
        self.config = dataclasses.replace(config, destination=self.config.destination)
        self.hooks.configure(config)
        settings = settings_in_force(self.config, self._advskew, self.transmitter.source)
        self.member.reconfigure(self._loop.time(), settings)
        self._advance()

    def _settle_advskew(self) -> None:
        settings = settings_in_force(self.config, self._advskew, self.transmitter.source)
        self.member.use_settings(self._loop.time(), settings)
        self._advance()

    # What the member wants.

    def _advance(self) -> None:
        """Perform the actions, and arm the timer for when the member wants to be called."""
        while (action := self.member.next_action(self._loop.time())) is not None:
            self._perform(action)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (deadline := self.member.deadline) is not None:
            self._timer = self._loop.call_at(deadline, self._timer_expired)
        if self._degraded_changed:
            self._degraded_changed = False
            self._host.degraded(self)

    def _timer_expired(self) -> None:
        self.member.timer_expired(self._loop.time())
        self._advance()

    def _perform(self, action: Action) -> None:
        match action:
            case Advertise():
                self._advertise(action)
            case AddAddresses(lifetime_s=lifetime_s):
                try:
                    self.addresses.add(lifetime_s)
                except OSError as error:
                    self.member.lease_failed(self._loop.time(), action, error)
                else:
                    self.member.lease_confirmed(self._loop.time(), action)
            case RenewAddresses(lifetime_s=lifetime_s):
                try:
                    if not self.addresses.renew(lifetime_s, partial(self._renewed, action)):
                        self.member.lease_confirmed(self._loop.time(), action)
                except OSError as error:
                    self.member.lease_failed(self._loop.time(), action, error)
            case RemoveAddresses():
                self.announcements.stop()
                self.addresses.remove()
            case Announce():
                # Where a command adds the addresses, they are announced when it has ended.
                if self.config.holds_addresses or self.hooks.master_is_ready:
                    self.announcements.announce()
            case RoleChanged():
                self._role_changed(action)
            case StatusChanged():
                self._host.changed(self)
            case Degraded():
                self._degraded_changed = True
            case AddressesLost(lost=lost):
                self.counts["put_back"] += len(lost)
                self.log.report(action)
            case Waiting() | Stalled() | DemotionChanged() | AddressesFailed():
                self.log.report(action)
            case _:
                assert_never(action)

    def _renewed(self, request: RenewAddresses, error: OSError | None) -> None:
        if error is None:
            self.member.lease_confirmed(self._loop.time(), request)
        else:
            self.member.lease_failed(self._loop.time(), request, error)
        self._advance()

    def _advertise(self, advertisement: Advertise) -> None:
        failure = self.transmitter.send(advertisement.advbase, advertisement.advskew)
        self.counts["failed" if failure else "sent"] += 1
        if failure is None and self.is_master:
            self.master_advertised_s = time.time()
        if failure is not None and advertisement != BOW_OUT:
            text = f"an advertisement could not be sent: {in_words(failure)}"
            self.log.log_sometimes(WARNING, "send_failed", text)
        self.member.sent(self._loop.time(), advertisement, ok=failure is None)

    def _role_changed(self, change: RoleChanged) -> None:
        self.since_s = time.time()
        self.transitions.setdefault(change.role, Counter())[change.reason.name.lower()] += 1
        self.counts["lease_misses"] += change.reason is Reason.LEASE_MISSED
        self.log.report(change)
        self.interface.watch_claims()
        facts = {
            "CARP_GROUP": self.config.name,
            "CARP_ROLE": change.role,
            "CARP_REASON": change.text,
            "CARP_INTERFACE": self.interface.name,
            "CARP_VHID": str(self.config.vhid),
            "CARP_ADDRESSES": " ".join(map(str, self.ips)),
        }
        self.hooks.became(change.role, change.reason, change.was_master, facts)

    def _master_hook_ended(self) -> None:
        if self.is_master:
            self.announcements.announce()

    def _report_master(self) -> None:
        self._reporting_master = None
        self._host.changed(self)


def _interval_s(advbase: int, advskew: int) -> float:
    return interval_ticks(advbase, advskew) / TICKS_PER_S
