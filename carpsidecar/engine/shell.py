"""The shell of one member: events are fed to it, its actions performed in order, and its timer armed (`_advance`).

The member decides. Whatever is slow or may fail (hooks, logs, the channel to the reporter) happens beside it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from logging import WARNING
from typing import TYPE_CHECKING, assert_never

from msgspec import Struct

from carpsidecar.config.group import GroupConfig
from carpsidecar.engine.addresses import HeldAddresses
from carpsidecar.engine.announcements import Announcements
from carpsidecar.engine.fencing import Fencing, live_until
from carpsidecar.engine.group_log import GroupLog
from carpsidecar.engine.hooks import HookRunner
from carpsidecar.engine.interface import Interface
from carpsidecar.engine.participation import Participation
from carpsidecar.engine.renewals import Renewer
from carpsidecar.engine.role_hooks import RoleHooks
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
    AskForAddresses,
    Degraded,
    DemotionChanged,
    RemoveAddresses,
    RenewAddresses,
    RoleChanged,
    Stalled,
    StatusChanged,
    TryAdding,
    TrySending,
    Waiting,
)
from carpsidecar.member.member import Member
from carpsidecar.protocol.auth import Claim, CompatibleAuth
from carpsidecar.protocol.effects import BOW_OUT, Advertise, Reason, State
from carpsidecar.protocol.hardened_packet import Role as PacketRole
from carpsidecar.protocol.packet import IPAddress

if TYPE_CHECKING:
    from carpsidecar.engine.membership import Membership
    from carpsidecar.protocol.freshness import Reply


class Host(Struct, frozen=True):
    """What the groups of one engine share.

    Args:
        virtual: all virtual addresses of this node, none of which may be a source.
        changed: called with a group's name after anything that a person would want to know.
        degraded: the same when the groups that move with it are to hand over, or need not any more.
        notice: called with what somebody should look at.
        is_own: whether this is the hardware address of an interface of this node, any of which answers ARP for an
            address that one of them has (arp_ignore 0 in ip-sysctl.rst).
    """

    loop: asyncio.AbstractEventLoop
    netlink: Netlink
    renewer: Renewer
    fencing: Fencing
    virtual: Callable[[], Collection[IPAddress]]
    changed: Callable[[str], None]
    degraded: Callable[[str], None]
    notice: Callable[[Notice], None]
    is_own: Callable[[bytes], bool]


class Shell:
    """Binds a member to this node's kernel, wire and hooks.

    Args:
        hooks: what still runs the last command of a group of this name, if something does.
    """

    def __init__(
        self, host: Host, interface: Interface, config: GroupConfig, hooks: HookRunner | None = None
    ) -> None:
        self.config = config
        """As configured, but for peers that became known later."""
        self.interface = interface
        self.member = Member(config.settings, IPv4Address(0), config.vhid)
        self._configure_takeover()
        self.log = GroupLog(host.loop, config.name, interface.name)
        self.participation = Participation(host.loop, self.log)
        self.transmitter = Transmitter(host.netlink, interface, config, host.loop.time())
        self.addresses = HeldAddresses(host.netlink, interface, config, host.renewer, host.fencing)
        self.announcements = Announcements(host.loop, interface, self.addresses.ips, self.log, host.notice)
        self.hooks = RoleHooks(host.loop, config, self._master_hook_ended, hooks)
        self.membership = self._membership(host) if config.auth == "hardened" else None
        self.since_s = time.time()
        self.counts: Counter[str] = Counter()
        self.transitions: dict[Role, Counter[str]] = {}
        self.master_advertised_s: float | None = None
        self._host = host
        self._loop = host.loop
        self._timer: asyncio.TimerHandle | None = None
        self._degraded_changed = False
        self._role_since = host.loop.time()
        self._stopped = False
        self._bows_out_until = 0.0
        """For our former self, in answers: only who has asked us believes us."""

    def _configure_takeover(self) -> None:
        self.member.takeover.configure(probes=self.config.probe, guards=self.config.in_use == "refuse")

    def _advance(self) -> None:
        """Perform the actions, and arm the timer for when the member wants to be called."""
        while (action := self.member.next_action(self._loop.time())) is not None:
            self._perform(action)
        self._arm_timer(self.member.deadline)
        if self._degraded_changed:
            self._degraded_changed = False
            self._host.degraded(self.config.name)

    def _arm_timer(self, deadline: float | None) -> None:
        """One that is armed for earlier stays: each advertisement of a master puts the deadline off."""
        if self._timer is not None and (deadline is None or deadline < self._timer.when()):
            self._timer.cancel()
            self._timer = None
        if self._timer is None and deadline is not None:
            self._timer = self._loop.call_at(deadline, self._timer_expired)

    def _timer_expired(self) -> None:
        self._timer = None
        deadline = self.member.deadline
        if deadline is None or self._loop.time() < deadline:
            self._arm_timer(deadline)
            return
        if self.member.state is State.BACKUP:
            # Nothing is decided before what has arrived: an advertisement, a better claim, an answer.
            self.interface.read()
        now = self._loop.time()
        missed = self.interface.missed_since(now - self.member.election.master_down_s)
        self.member.timer_expired(now, missed)
        self._advance()

    def _perform(self, action: Action) -> None:
        match action:
            case Advertise():
                self._advertise(action)
            case AddAddresses(lifetime_s=lifetime_s):
                try:
                    self.addresses.add(lifetime_s, self._live_until)
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
            case AskForAddresses():
                self._ask(action)
            case TrySending():
                self.member.tried(self._loop.time(), action, ok=self.transmitter.try_sending() is None)
            case TryAdding():
                self.member.tried(self._loop.time(), action, ok=self.addresses.try_adding() is None)
            case RoleChanged():
                self._role_changed(action)
            case StatusChanged():
                self._host.changed(self.config.name)
            case Degraded():
                self._degraded_changed = True
            case AddressesLost(lost=lost):
                self.counts["put_back"] += len(lost)
                self.log.report(action)
            case Stalled(late_s=late_s):
                self.log.report(action)
                if self.membership is not None:
                    self.membership.stalled(late_s)
            case Waiting(why=why):
                if why != self.participation.ineligible:
                    self.log.report(action)
            case DemotionChanged() | AddressesFailed():
                self.log.report(action)
            case _:
                assert_never(action)

    def master_answered(self, master: IPAddress) -> None:
        """Its machine answered for an address of another group, which was asked for in the place of all."""
        self.member.master_answered(self._loop.time(), master)
        self._advance()

    def wanted(self, rank: bytes) -> None:
        """Another machine is about to take an address of ours."""
        self.member.address_wanted(self._loop.time(), rank)
        self._advance()

    def _ask(self, action: AskForAddresses) -> None:
        ips, source = list(self.addresses.ips), self.transmitter.sources.get(6)
        if action.every:
            self.interface.read_strangers()
        elif action.shared and self._another_group_asked(ips[0]):
            return
        asked = ips if action.every else ips[:1]
        self.counts["questions"] += len(asked)
        self.interface.claims.ask(asked, source if isinstance(source, IPv6Address) else None, action.rank)

    def _another_group_asked(self, address: IPAddress) -> bool:
        """About the machine of our master, a moment ago."""
        master, gap_s = self.member.master, self.member.takeover.probe.gap_s
        if master is None or not self.member.election.follows(master):
            return False
        return not self.interface.claims.shared.is_due(self._loop.time(), master, address, gap_s)

    def _renewed(self, request: RenewAddresses, error: OSError | None) -> None:
        if error is None:
            self.member.lease_confirmed(self._loop.time(), request)
        else:
            self.member.lease_failed(self._loop.time(), request, error)
        self._advance()

    def _advertise(self, advertisement: Advertise) -> None:
        failure = self.transmitter.send(self._loop.time(), self._claim(advertisement))
        self.counts["failed" if failure else "sent"] += 1
        if failure is None and self.member.is_master:
            self.master_advertised_s = time.time()
        if failure is not None and advertisement != BOW_OUT:
            text = f"an advertisement could not be sent: {in_words(failure)}"
            self.log.log_sometimes(WARNING, "send_failed", text)
        self.member.sent(self._loop.time(), advertisement, ok=failure is None)
        if failure is None and self.member.lease.ends_at is not None:
            self.counts["fence_renewals"] += self.addresses.keep_live(self._live_until)

    @property
    def _live_until(self) -> float:
        """By our last advertisement."""
        return live_until(self.member.lease.backups_wait_until, self.member.election.master_down_s)

    def _claim(self, advertisement: Advertise) -> Claim:
        role = PacketRole.STOPPED if self._stopped else PacketRole[self.member.role.upper()]
        return Claim(role, advertisement.advbase, advertisement.advskew, self._role_since)

    def _reply(self, reply: "Reply") -> None:
        """Of a hardened group. A master answers with an advertisement, and so does who bows out."""
        now, election = self._loop.time(), self.member.election
        if now < self._bows_out_until and not self.member.is_master:
            claim = self._claim(BOW_OUT)._replace(role=PacketRole.MASTER)
        else:
            claim = self._claim(Advertise(election.settings.advbase, election.advskew))
            if claim.role is PacketRole.MASTER and self.member.lease.may_be_overtaken(now):
                claim = claim._replace(role=PacketRole.BACKUP)
        self.transmitter.reply(now, claim, reply)

    def _membership(self, host: Host) -> "Membership":
        from carpsidecar.engine.membership import Membership

        assert not isinstance(self.transmitter.authenticator, CompatibleAuth)
        changed = partial(host.changed, self.config.name)
        return Membership(host.loop, self.transmitter.authenticator, self.log, self._reply, changed, host.notice)

    def _role_changed(self, change: RoleChanged) -> None:
        self.since_s = time.time()
        self._role_since = self._loop.time()
        self.transitions.setdefault(change.role, Counter())[change.reason.name.lower()] += 1
        self.counts["lease_misses"] += change.reason is Reason.LEASE_MISSED
        self.log.report(change)
        self.interface.claims.watch_soon()
        facts = {
            "CARP_GROUP": self.config.name,
            "CARP_ROLE": change.role,
            "CARP_REASON": change.text,
            "CARP_INTERFACE": self.interface.name,
            "CARP_VHID": str(self.config.vhid),
            "CARP_ADDRESSES": " ".join(map(str, self.addresses.ips)),
        }
        self.hooks.became(change.role, change.reason, change.was_master, facts)

    def _master_hook_ended(self) -> None:
        if self.member.is_master:
            self.announcements.announce()
