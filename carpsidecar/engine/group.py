"""One group: the election of `protocol`, bound to this node's kernel.

Events go in, the election says what to do, and `_perform` does it. Whatever is slow or may fail (hooks, logs, the
pipe) happens beside it.
"""

import asyncio
import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Collection
from ipaddress import IPv4Address
from logging import ERROR, INFO, WARNING

from carpsidecar.config.group import Destination, GroupConfig
from carpsidecar.engine.claims import Claims
from carpsidecar.engine.group_log import GroupLog
from carpsidecar.engine.holding import Holding
from carpsidecar.engine.hooks import HookRunner
from carpsidecar.engine.interface import Interface
from carpsidecar.engine.lease_keeper import LeaseKeeper
from carpsidecar.engine.peers import PeersHeard
from carpsidecar.engine.renewer import Renewer
from carpsidecar.engine.role_hooks import RoleHooks
from carpsidecar.engine.settings import settings_in_force
from carpsidecar.engine.transmitter import Transmitter
from carpsidecar.ipc.messages import Notice, Role
from carpsidecar.linux.netlink import Netlink
from carpsidecar.logs import in_words
from carpsidecar.protocol.effects import BOW_OUT, Addresses, Advertise, Become, Effects, Reason, Settings, State
from carpsidecar.protocol.election import Election
from carpsidecar.protocol.packet import Advertisement, IPAddress
from carpsidecar.protocol.timing import ADVSKEW_DEMOTED, TICKS_PER_S, interval_ticks

_TELL_MASTER_AFTER_S = 0.05
_CANNOT_HOLD = "addresses"
"""The cause of the demotion of a node that failed to add the addresses."""
_BY_HAND = (Reason.STEP_DOWN, Reason.DEMOTED, Reason.PROMOTED)
"""Reasons that somebody may have had words for."""


class Group:
    """A vhid and its addresses on one interface, while it is configured.

    Args:
        virtual: all virtual addresses of this node, none of which may be a source.
        changed: called after anything that a person would want to know.
        notice: called with what somebody should look at.
        hooks: what still runs the last command of a group of this name, if something does.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        netlink: Netlink,
        interface: Interface,
        config: GroupConfig,
        renewer: Renewer,
        virtual: Callable[[], Collection[IPAddress]],
        changed: Callable[["Group"], None],
        notice: Callable[[Notice], None],
        hooks: HookRunner | None = None,
    ) -> None:
        self.configured = config
        self.config = config
        """As configured, but for peers that were told later."""
        self.interface = interface
        self.election = Election(config.settings, IPv4Address(0))
        self.transmitter = Transmitter(netlink, interface, config)
        self.holding = Holding(loop, netlink, interface, config, renewer, self._announcement_failed)
        self.lease = LeaseKeeper(loop, self.election, self.holding, self._lease_missed, self._cannot_hold)
        self.hooks = RoleHooks(loop, config, self._master_hook_ended, hooks)
        log = GroupLog(loop, config.name, interface.name)
        self._log, self._say_sometimes = log.log, log.log_sometimes
        self.claims = Claims(loop, self.holding, log, lambda: self.is_master, notice)
        self.peers = PeersHeard()
        self.demotions: dict[str, int] = {}
        self.texts: dict[str, str] = {}
        """What was said with a demotion, by its cause."""
        self.started = False
        self.since_s = time.time()
        self.counts: Counter[str] = Counter()
        self.transitions: dict[Role, Counter[str]] = {}
        self.master_advertised_s: float | None = None
        self._loop = loop
        self._virtual = virtual
        self._changed = changed
        self._advskew: int | None = None
        """What is used instead of the configured one."""
        self._peers_known = bool(config.destination.peers)
        self._timer: asyncio.TimerHandle | None = None
        self._was_ready = False
        self._was_master = False
        self._trouble_said = ""
        self._text = self._text_of_command = ""
        """What was said with the command that led to the present state, and with the one that is followed now."""
        self._heard_master: IPAddress | None = None
        self._telling: asyncio.TimerHandle | None = None

    # What it is.

    @property
    def is_master(self) -> bool:
        return self.election.state is State.MASTER

    @property
    def role(self) -> Role:
        if self.election.state is State.MASTER:
            return "master"
        if self.election.state is State.BACKUP:
            return "backup"
        return "fault" if self._was_ready and self.trouble else "init"

    @property
    def reason(self) -> str:
        reason = str(self.election.reason)
        return self.trouble or (f"{reason}: {self._text}" if self._text else reason)

    @property
    def trouble(self) -> str:
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

    @property
    def in_need(self) -> bool:
        """Whether the groups that move with this one should hand over."""
        return bool(self.trouble) or self.election.send_failing or _CANNOT_HOLD in self.demotions

    @property
    def master(self) -> IPAddress | None:
        """The address that the master advertises from, as far as we know."""
        return self.transmitter.source if self.is_master else self._heard_master

    @property
    def lease_left_s(self) -> float | None:
        """How long the kernel holds the addresses yet; None where it does not for us."""
        if not self.is_master or not self.config.holds_addresses:
            return None
        return self.lease.left_s

    # What happens to it.

    def start(self) -> None:
        self.started = True
        self.find_sources()
        self._was_ready = not self.trouble
        self._trouble_said = self.trouble
        if self.trouble:
            self._log(WARNING, "waiting", f"waiting: {self.trouble}")
        self._perform(self.election.start(self._loop.time(), link_up=not self.trouble))
        self._changed(self)

    def stop(self) -> None:
        self._perform(self.election.stop(self._loop.time()))

    def close(self) -> None:
        """Nothing happens any more, except that its last command may still run."""
        self.holding.stop_announcing()
        self.claims.forget()
        for timer in (self._timer, self._telling):
            if timer is not None:
                timer.cancel()

    def bow_out_for_former_self(self) -> None:
        """A run before this one left its addresses: tell the backups that it is not coming back."""
        self.transmitter.send(BOW_OUT.advbase, BOW_OUT.advskew)

    def find_sources(self) -> None:
        if self.transmitter.find_sources(self._virtual()):
            self.interface.sources_changed()
        self.election.source = self.transmitter.source or self.election.source
        self._settle_advskew()

    def surroundings_changed(self) -> None:
        """The link or the addresses of the interface are not what they were."""
        self.find_sources()
        self._was_ready = self._was_ready or not self.trouble
        self._perform(self.election.link_changed(self._loop.time(), up=not self.trouble))
        if self.trouble:
            # Most often the interface was gone already when they were added, and only now are we told.
            self.demote(_CANNOT_HOLD, 0)
        if self.trouble != self._trouble_said:
            self._trouble_said = self.trouble
            if self.trouble:
                self._log(WARNING, "waiting", f"can't take part: {self.trouble}")
        self._changed(self)

    def heard(self, now: float, advertisement: Advertisement, source: IPAddress) -> None:
        """A valid advertisement of this group."""
        self.counts["received"] += 1
        now_s = time.time()
        self.peers.heard(source, _interval_s(advertisement.advbase, advertisement.advskew), now_s)
        if self.election.state is State.BACKUP:
            self.master_advertised_s = now_s
        if self.election.state is State.BACKUP and source != self._heard_master:
            self._heard_master = source
            if self._telling is None:
                # Not for each packet: senders may take turns, or somebody pretends that they do.
                self._telling = self._loop.call_later(_TELL_MASTER_AFTER_S, self._tell_master)
        self._perform(
            self.election.advertisement_received(
                now, advertisement.advbase, advertisement.advskew, advertisement.demotion, source
            )
        )

    def heard_doubtful(self, advbase: int, advskew: int, source: IPAddress) -> None:
        """An advertisement of this vhid whose digest does not fit."""
        self.peers.heard_doubtful(source, _interval_s(advbase, advskew), time.time())

    def _tell_master(self) -> None:
        self._telling = None
        self._changed(self)

    def addresses_removed(self, removed: set[IPAddress]) -> None:
        """The kernel dropped these: the lease ran out, we released them, or somebody took them off."""
        if not self.is_master:
            return
        lost = self.holding.lost(removed)
        if not lost:
            return
        if self.lease.is_over:
            self._lease_missed()
            return
        self.counts["put_back"] += len(lost)
        names = ", ".join(sorted(map(str, lost)))
        self._say_sometimes(WARNING, "address_put_back", f"somebody removed {names} while we are master: put back")
        try:
            self.holding.renew(self.election.lifetime_s)
        except OSError as error:
            self._cannot_hold(error)
        else:
            self.holding.announce()

    def demote(self, cause: str, amount: int, bow_out: bool = False, text: str = "") -> None:
        """Advertise this much more skew for this cause; 0 takes it back. With `bow_out`, hand over at once."""
        before = self.demotions.get(cause, 0)
        if (before, self.texts.get(cause, "")) == (amount, text if amount else ""):
            return
        self.demotions.pop(cause, None)
        self.texts.pop(cause, None)
        if amount:
            self.demotions[cause] = amount
            if text:
                self.texts[cause] = text
        said = f" ({text})" if text else ""
        self._log(INFO, "demotion", f"demotion by {cause}: {amount}{said}", cause=cause, amount=amount, text=text)
        if amount != before:
            now = self._loop.time()
            if bow_out and amount:
                self._follow_command(self.election.step_down(now, Reason.DEMOTED), text)
            self._perform(self.election.demotion_changed(now, sum(self.demotions.values())))
        self._changed(self)

    def step_down(self, text: str = "") -> None:
        """Hand over to a backup, because somebody asked."""
        self._follow_command(self.election.step_down(self._loop.time(), Reason.STEP_DOWN), text)

    def promote(self, text: str = "") -> None:
        """Take over from whoever is master, where there is no promotion_blocker."""
        if self.is_master:
            self._log(INFO, "promotion", "asked to become master, and is it already", text=text)
        self._follow_command(self.election.promote(self._loop.time()), text)

    def _follow_command(self, effects: Effects, text: str) -> None:
        self._text_of_command = text
        self._perform(effects)
        self._text_of_command = ""

    def use_advskew(self, advskew: int | None) -> None:
        """Instead of the configured one; None goes back to that."""
        self._advskew = advskew
        self._settle_advskew()
        self._changed(self)

    def use_peers(self, peers: tuple[IPAddress, ...]) -> None:
        """Send to these, as far as they are of a family of the addresses; to the multicast group where none is.

        Raises:
            OSError: a socket can't be opened.
        """
        families = {ip.version for ip in self.config.destination.multicast}
        fitting = tuple(ip for ip in peers if ip.version in families) or peers
        known, self._peers_known = self._peers_known, True
        if fitting != self.config.destination.peers:
            self._use_destination(dataclasses.replace(self.config.destination, peers=fitting))
        if not known:
            self.surroundings_changed()

    def _use_destination(self, destination: Destination) -> None:
        self.config = dataclasses.replace(self.config, destination=destination)
        self.transmitter.configure(self.config)
        self.interface.open_missing()
        self.find_sources()

    def _settle_advskew(self) -> None:
        if self._settings != self.election.settings:
            self._perform(self.election.configure(self._loop.time(), self._settings))

    @property
    def _settings(self) -> Settings:
        return settings_in_force(self.config, self._advskew, self.transmitter.source)

    def reconfigure(self, config: GroupConfig) -> None:
        self.configured = config
        self.config = dataclasses.replace(config, destination=self.config.destination)
        self.hooks.configure(config)
        self._perform(self.election.configure(self._loop.time(), self._settings))
        self.demote(_CANNOT_HOLD, 0)
        self._changed(self)

    # What it does.

    def _perform(self, effects: Effects) -> None:
        for effect in effects:
            if isinstance(effect, Advertise):
                if self._was_master and self.is_master and self.lease.is_over:
                    self._lease_missed()
                    return
                self._advertise(effect)
            elif isinstance(effect, Become):
                self._became(effect)
            elif effect is Addresses.RELEASE:
                self.holding.release()
            elif effect is Addresses.ANNOUNCE:
                # Where a command adds the addresses, they are announced when it has ended.
                if self.config.holds_addresses or self.hooks.master_is_ready:
                    self.holding.announce()
            elif effect is Addresses.RENEW:
                if not self.lease.renew():
                    return
            elif not self.lease.take():
                # The state is another one now, and nothing more is to be done.
                return
            else:
                self.demote(_CANNOT_HOLD, 0)
        self.lease.settle()
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.election.deadline
        if deadline is None:
            return
        look_at = deadline - self.election.interval_s
        if self.election.state is State.BACKUP and look_at > self._loop.time():
            self._timer = self._loop.call_at(look_at, self._look, look_at)
        else:
            self._timer = self._loop.call_at(deadline, self._expired)

    def _look(self, due: float) -> None:
        """An interval before it would take over: is the master silent, or was this machine paused, or too busy?"""
        now = self._loop.time()
        late_s = now - due
        if late_s > self.election.interval_s / 2:
            text = f"this machine did not run us for {late_s:.3g} s: listens for an interval more"
            self._say_sometimes(INFO, "stalled", text, late_s=late_s)
            self._perform(self.election.stalled(now))
        else:
            self._timer = self._loop.call_at(due + self.election.interval_s, self._expired)

    def _expired(self) -> None:
        self._perform(self.election.timer_expired(self._loop.time()))

    def _advertise(self, what: Advertise) -> None:
        failure = self.transmitter.send(what.advbase, what.advskew)
        self.counts["failed" if failure else "sent"] += 1
        if what == BOW_OUT:
            return
        if failure is None and self.is_master:
            self.master_advertised_s = time.time()
        before = self.in_need
        self.election.advertisement_sent(failure is None)
        if failure is not None:
            self._say_sometimes(WARNING, "send_failed", f"an advertisement could not be sent: {in_words(failure)}")
        if self.in_need != before:
            self._loop.call_soon(self._changed, self)

    def _lease_missed(self) -> None:
        self._perform(self.election.lease_missed(self._loop.time()))

    def _cannot_hold(self, error: OSError) -> None:
        self._say_sometimes(ERROR, "addresses_failed", f"the addresses can't be held: {in_words(error)}")
        if _CANNOT_HOLD in self.demotions:
            self._perform(self.election.step_down(self._loop.time(), Reason.DEMOTED))
        else:
            self.demote(_CANNOT_HOLD, ADVSKEW_DEMOTED, bow_out=True)

    def _announcement_failed(self, error: OSError) -> None:
        self._say_sometimes(WARNING, "announce_failed", f"the addresses could not be announced: {in_words(error)}")

    def _master_hook_ended(self) -> None:
        if self.is_master:
            self.holding.announce()

    def _became(self, became: Become) -> None:
        was_master, self._was_master = self._was_master, self.is_master
        self.since_s = time.time()
        self._text = self._text_of_command if became.reason in _BY_HAND else ""
        self._heard_master = became.peer if became.state is State.BACKUP else None
        self._trouble_said = self.trouble
        self.transitions.setdefault(self.role, Counter())[became.reason.name.lower()] += 1
        self.counts["lease_misses"] += became.reason is Reason.LEASE_MISSED
        peer = f" ({became.peer})" if became.peer else ""
        self._log(
            INFO,
            "transition",
            f"became {self.role}: {self.reason}{peer}",
            role=self.role,
            reason=self.reason,
            peer=str(became.peer) if became.peer else None,
        )
        self.interface.watch_claims()
        self.hooks.became(self.role, became.reason, was_master, self._facts())
        self._changed(self)

    # What it says.

    def _facts(self) -> dict[str, str]:
        """What a hook finds in its environment."""
        return {
            "CARP_GROUP": self.config.name,
            "CARP_ROLE": self.role,
            "CARP_REASON": self.reason,
            "CARP_INTERFACE": self.interface.name,
            "CARP_VHID": str(self.config.vhid),
            "CARP_ADDRESSES": " ".join(map(str, self.holding.ips)),
        }


def _interval_s(advbase: int, advskew: int) -> float:
    return interval_ticks(advbase, advskew) / TICKS_PER_S
