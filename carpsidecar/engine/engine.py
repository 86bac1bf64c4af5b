"""The engine: all groups and interfaces of this process, kept in step with the kernel and the configuration."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from ipaddress import IPv6Address
from logging import INFO, WARNING

from carpsidecar.config.group import GroupConfig
from carpsidecar.config.load_balancer import ServiceAddresses as ServicePools
from carpsidecar.config.schema import ConfigError
from carpsidecar.config.sources import Config
from carpsidecar.engine.address_probe import AddressProbes
from carpsidecar.engine.commands import Commands
from carpsidecar.engine.comparison import Comparison
from carpsidecar.engine.drain_files import DrainFiles
from carpsidecar.engine.fencing import Fencing
from carpsidecar.engine.group import Group
from carpsidecar.engine.hooks import HookRunner
from carpsidecar.engine.interface import Interface
from carpsidecar.engine.renewals import Renewer
from carpsidecar.engine.report import heartbeats, snapshot, status_line
from carpsidecar.engine.service_addresses import ServiceAddresses
from carpsidecar.engine.settings import keeps_state
from carpsidecar.engine.shell import Host
from carpsidecar.engine.startup import (
    StartError,
    drained_before,
    lock_instance,
    resolve_interfaces,
    take_off_left_over,
)
from carpsidecar.engine.throttle import Reader
from carpsidecar.ipc.messages import (
    GroupCommand,
    GroupGone,
    GroupSnapshot,
    Heartbeat,
    Notice,
    Result,
    SetServiceAddress,
)
from carpsidecar.linux.capabilities import keep_only
from carpsidecar.linux.instance_lock import InstanceLock
from carpsidecar.linux.lease import take_off
from carpsidecar.linux.monitor import (
    AddressAdded,
    AddressRemoved,
    LinkChanged,
    LinkGone,
    LinkMoved,
    Monitor,
    Overrun,
)
from carpsidecar.linux.netlink import Link, Netlink
from carpsidecar.linux.routes import network_of, source_for
from carpsidecar.logs import in_words, log
from carpsidecar.member.sync_groups import siblings
from carpsidecar.protocol.packet import IPAddress

Report = Callable[[GroupSnapshot | GroupGone | Notice], None]


SERVICES_EACH = 10
"""Each tenth of the groups of Services is in each heartbeat that comes by itself: there may be hundreds."""


class Engine:
    """Owns the groups. `report` is called with each group that changed, and with what is noticed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, report: Report) -> None:
        self._loop = loop
        self._report = report
        self._netlink = Netlink()
        self._renewer = Renewer(loop)
        # For what waits for the kernel, and is in no hurry: the renewals have no time for that.
        self._executor = ThreadPoolExecutor(1, "patient", keep_only, ((), True))
        # It starts now, to have what priority this process is given.
        self._executor.submit(int)
        self._monitor = Monitor()
        self._fencing = Fencing(loop)
        self._host = Host(
            loop,
            self._netlink,
            self._renewer,
            self._fencing,
            virtual=self._virtual_addresses,
            changed=self._changed,
            degraded=self._degraded,
            notice=report,
            is_own=lambda mac: any(link.mac == mac for link in self._links.values()),
        )
        self._links: dict[int, Link] = {}
        self._interfaces: dict[str, Interface] = {}
        self._groups: dict[str, Group] = {}
        self._locks: dict[str, InstanceLock] = {}
        self._leaving: dict[str, HookRunner] = {}
        """Last commands of groups that are gone, which a group of the same name waits for."""
        self.services = ServiceAddresses(loop, self, self._report)
        self._services_locked: InstanceLock | None = None
        self._left_over: set[IPAddress] = set()
        """Addresses of Services that a former run left, and whose backups have not heard of it."""
        self._probes = AddressProbes(loop)
        self._comparison = Comparison(loop, self._executor, self._groups)
        self._drain_files = DrainFiles(loop)
        self._commands = Commands(self._bound_to, self._drain_files)
        self._stopping = False
        self._heartbeats_sent = 0
        self._news = Reader(loop, self._monitor.fileno(), self._kernel_event)
        self._read_links()

    def when_idle(self, call: Callable[[], None]) -> None:
        """Call this once, as soon as no command of a group runs any more."""
        running = [hooks for hooks in self._all_hooks if not hooks.idle]
        if not running:
            call()
        else:
            running[0].when_idle = partial(self.when_idle, call)

    @property
    def _all_hooks(self) -> list[HookRunner]:
        return [*self._leaving.values(), *(group.hooks.runner for group in self._groups.values())]

    # The configuration.

    def start(self, config: Config) -> dict[str, str]:
        """Open what is needed and take part.

        Returns:
            By group, what keeps it from starting that time can mend: then call `reload`.

        Raises:
            ConfigError: the configuration does not fit this machine.
            StartError: something else keeps a group from starting.
        """
        resolved, waiting = resolve_interfaces(self._netlink, config)
        self._start([self._create(group) for group in resolved])
        self.services.configure(config.service_addresses)
        return waiting

    def reload(self, config: Config, *, waits: bool) -> dict[str, str]:
        """Go over to another configuration; a group that is the same in both keeps its state.

        Args:
            waits: whether a group may have to wait for its network; if not, that is an error, and nothing changes.

        Returns:
            As `start`.

        Raises:
            ConfigError, StartError: as `start`. What could be kept or started is running.
        """
        groups, waiting = resolve_interfaces(self._netlink, config)
        if waiting and not waits:
            raise ConfigError("; ".join(waiting.values()))
        wanted = {group.name: group for group in groups}
        kept: list[tuple[Group, GroupConfig]] = []
        for name, group in list(self._groups.items()):
            if group.services:
                continue
            if name in wanted and keeps_state(group.configured, wanted[name]):
                kept.append((group, wanted.pop(name)))
            else:
                self._remove(group)
        created: list[Group] = []
        failure: ConfigError | StartError | None = None
        for group, resolved in kept:
            try:
                self.reconfigure_group(group, resolved)
            except OSError as error:
                failure = failure or StartError(f"group {resolved.name}: {in_words(error)}")
        for resolved in wanted.values():
            try:
                created.append(self._create(resolved))
            except (ConfigError, StartError) as error:
                failure = failure or error
        self._start(created)
        self.services.configure(config.service_addresses)
        if failure is not None:
            raise failure
        return waiting

    def reconfigure_group(self, group: Group, config: GroupConfig) -> None:
        """Raises: OSError."""
        if group.configured == config:
            return
        moved = group.configured.sync_group != config.sync_group
        group.reconfigure(config)
        log(INFO, "reconfigured", "new settings, same state", group=config.name)
        self._changed(config.name)
        if moved:
            for one in self._groups.values():
                self._settle_degraded(one)

    def set_drift(self, text: str) -> None:
        """What the configuration on disk has that can't be put into force; empty: nothing."""
        for group in self._groups.values():
            if group.drift != text:
                group.drift = text
                self._changed(group.config.name)

    def stop(self) -> None:
        """Bow out and release; the last commands may still run."""
        self._stopping = True
        for group in self._groups.values():
            group.stop()

    def close(self) -> None:
        self.services.close()
        self._probes.close()
        for group in self._groups.values():
            group.close()
        for hooks in self._all_hooks:
            hooks.end()
        for interface in self._interfaces.values():
            interface.close()
        for lock in (*self._locks.values(), self._services_locked):
            if lock is not None:
                lock.close()
        self._news.close()
        self._monitor.close()
        self._executor.shutdown()
        self._comparison.close()
        self._renewer.close()
        self._fencing.close()
        self._netlink.close()

    def _start(self, groups: list[Group]) -> None:
        """Have them take part, as what was asked for before wants them to."""
        for group in groups:
            drain = drained_before(
                group.config.name, of_services=bool(group.services), unwritten=self._drain_files.unwritten
            )
            if drain is not None:
                self._commands.demote_as_before(drain)
        for group in groups:
            self._commands.apply_to(group)
        for group in groups:
            group.start()
            self._settle_degraded(group)
        self._comparison.soon()

    def _create(self, config: GroupConfig) -> Group:
        assert config.interface is not None
        former = self._leaving.get(config.name)
        with ExitStack() as undo:
            link = self._link_named(config.interface)
            lock = lock_instance(config.interface, config.vhid, link.altnames if link else ())
            undo.callback(lock.close)
            try:
                left_over = take_off_left_over(self._netlink, config)
                group = self._opened(config, undo, former)
                if config.fence == "on" and self._fencing.lacking:
                    raise StartError(f"fence: it is on, but {self._fencing.lacking}")
            except OSError as error:
                raise StartError(f"group {config.name}: {in_words(error)}") from None
            undo.pop_all()
        self._leaving.pop(config.name, None)
        self._groups[config.name] = group
        self._locks[config.name] = lock
        if left_over:
            group.bow_out_for_former_self()
        return group

    def _opened(self, config: GroupConfig, undo: ExitStack, former: HookRunner | None = None) -> Group:
        """Raises: OSError."""
        assert config.interface is not None
        interface = self._interfaces.get(config.interface)
        if interface is None:
            interface = self._interfaces[config.interface] = Interface(
                self._loop, config.interface, self._report, self._executor
            )
        group = Group(self._host, interface, config, former)
        undo.callback(self._let_go_of_interface, group)
        interface.add(group)
        if interface.link is None:
            interface.set_link(self._link_named(config.interface))
        group.fence()
        undo.callback(group.close)
        return group

    def _remove(self, group: Group) -> None:
        group.stop()
        group.close()
        self._let_go_of_interface(group)
        del self._groups[group.config.name]
        for sibling in siblings(group, self._groups.values()):
            self._settle_degraded(sibling)
        if (lock := self._locks.pop(group.config.name, None)) is not None:
            lock.close()
        if not group.hooks.idle:
            self._leaving[group.config.name] = group.hooks.runner
        log(INFO, "removed", "no longer configured so", group=group.config.name)
        self._report(GroupGone(group=group.config.name))

    # Groups of Services' addresses.

    def open_services(self, configured: ServicePools) -> None:
        """Before the first of their groups.

        Raises:
            StartError: another engine of this node serves Services.
            OSError: the kernel refuses.
        """
        if self._services_locked is not None:
            return
        self._services_locked = lock_instance("load_balancer", configured.vhids[0])
        held = [own for own in self._netlink.addresses() if own.leased]
        held = [own for own in held if configured.pools.pool_of(own.interface.ip) is not None]
        take_off(self._netlink, held)
        self._left_over = {own.interface.ip for own in held}
        if held:
            log(WARNING, "services_left_over", f"a former run left {len(held)} addresses of Services: taken off")

    def network_of(self, address: IPAddress) -> str | None:
        """The interface of the network that has it; None where no network of this node does."""
        link = network_of(self._netlink, address)
        return link.name if link is not None else None

    def add_service_group(self, config: GroupConfig, command: SetServiceAddress) -> Group:
        """Raises: StartError."""
        own = config.addresses[0].ip
        with ExitStack() as undo:
            try:
                group = self._opened(config, undo)
                beside = group.interface.addresses_beside(self._netlink)
            except OSError as error:
                raise StartError(f"group {config.name}: {in_words(error)}") from None
            if any(held.interface.ip == own and not held.leased for held in beside):
                raise StartError(f"{own} is this node's own address: leave it out of the pool, or take it off")
            undo.pop_all()
        self._groups[config.name] = group
        if own in self._left_over:
            self._left_over.discard(own)
            group.bow_out_for_former_self()
        group.serve(command)
        self._start([group])
        return group

    def remove_service_group(self, group: Group) -> None:
        self._remove(group)
        self._commands.forget_group(group.config.name)

    def probe(self, interface: str, address: IPAddress, done: Callable[[bytes | None], None]) -> None:
        """Ask who has it. Raises: OSError."""
        link = self._link_named(interface)
        if link is None:
            raise OSError(f"interface {interface} is not there")
        source = source_for(self._netlink, link.index, 6, ()) if address.version == 6 else None
        self._probes.ask(link, address, source if isinstance(source, IPv6Address) else None, done)

    def _let_go_of_interface(self, group: Group) -> None:
        group.interface.remove(group)
        if not group.interface.groups:
            group.interface.close()
            del self._interfaces[group.interface.name]

    # The kernel.

    def _read_links(self) -> None:
        self._links = {link.index: link for link in self._netlink.links()}

    def _link_named(self, name: str) -> Link | None:
        return next((link for link in self._links.values() if link.is_called(name)), None)

    def _kernel_event(self) -> None:
        removed: dict[int, set[IPAddress]] = {}
        surroundings_of: set[int] = set()
        added: set[int] = set()
        moved: set[int] = set()
        virtual = self._virtual_addresses()
        for event in self._monitor.read():
            if isinstance(event, Overrun):
                self._reread()
                return
            if isinstance(event, LinkChanged):
                moved |= self._port_changed(event.link)
                self._links[event.link.index] = event.link
            elif isinstance(event, LinkMoved):
                moved.add(event.index)
            elif isinstance(event, LinkGone):
                self._links.pop(event.index, None)
            elif isinstance(event, AddressRemoved):
                removed.setdefault(event.index, set()).add(event.address)
            if isinstance(event, AddressAdded | AddressRemoved) and event.address in virtual:
                self._comparison.soon()
            if isinstance(event, AddressAdded | AddressRemoved) and (
                not (event.leased or event.address in virtual) or event.prefixlen < event.address.max_prefixlen
            ):
                (added if isinstance(event, AddressAdded) else surroundings_of).add(event.index)
        self._apply_links(surroundings_of, added, moved)
        for index, addresses in removed.items():
            self._addresses_removed(index, addresses)

    def _port_changed(self, link: Link) -> set[int]:
        """The bridge or bond that gained this port, or whose port came up."""
        before = self._links.get(link.index)
        if link.master is None or not link.up or (before and before.up and before.master == link.master):
            return set()
        return {link.master}

    def _reread(self) -> None:
        """Events were lost: look at everything again."""
        self._read_links()
        self._apply_links(set(self._links), set(), set(self._links))
        for index in self._links:
            self._addresses_removed(index, self._virtual_addresses())

    def _apply_links(self, surroundings_of: set[int], added: set[int], moved: set[int]) -> None:
        for interface in self._interfaces.values():
            link = self._link_named(interface.name)
            groups = [group for group in self._groups.values() if group.interface is interface]
            has_moved = link is not None and link.index in moved
            changed = link != interface.link or (link is not None and link.index in surroundings_of)
            try:
                # Routers and DHCP refresh their addresses now and again: that is no change, for hundreds of groups.
                changed |= link is not None and link.index in added and not interface.refreshed(self._netlink)
                has_moved |= changed and interface.set_link(link)
            except OSError as error:
                # It may be gone again already; then the next event says so.
                log(WARNING, "interface_failed", f"{interface.name}: {in_words(error)}", interface=interface.name)
            for group in groups:
                if changed:
                    group.surroundings_changed()
                if has_moved:
                    group.moved()

    def _addresses_removed(self, index: int, addresses: set[IPAddress]) -> None:
        links = ((group, group.interface.link) for group in self._groups.values() if group.is_master)
        there = [group for group, link in links if link is not None and link.index == index]
        lost = [group for group in there if not addresses.isdisjoint(group.ips)]
        if not lost:
            return
        # They may be back since: whoever arranges hundreds anew removes and adds each. One query serves all.
        try:
            back = self._netlink.held().get(index, set())
        except OSError:
            back = set()
        for group in lost:
            if not (addresses - back).isdisjoint(group.ips):
                group.addresses_removed(addresses - back)

    def _virtual_addresses(self) -> set[IPAddress]:
        return {ip for group in self._groups.values() for ip in group.ips}

    # The groups.

    def _changed(self, name: str) -> None:
        group = self._groups.get(name)
        if group is not None and group.started:
            self._report(snapshot(group))

    def _degraded(self, name: str) -> None:
        if not self._stopping:
            for group in self._bound_to(name)[1:]:
                self._settle_degraded(group)

    def _settle_degraded(self, group: Group) -> None:
        """Have it know which of the groups that move with it can't serve."""
        moving = siblings(group, self._groups.values())
        group.siblings_degraded([other.config.name for other in moving if other.started and other.member.degraded])

    def handle(self, command: GroupCommand, answer: Callable[[Result], object]) -> None:
        """Of the reporter. What it changed has been reported before `answer` is called."""
        self._commands.handle(command, answer)

    def forget_commands(self) -> None:
        """The reporter starts again with other settings."""
        self._commands.forget()

    def step_down(self, name: str | None = None) -> None:
        for group in self._bound_to(name):
            group.step_down()

    def sample_strangers(self) -> None:
        self._fencing.keep()
        self._comparison.now_and_again()
        for interface in self._interfaces.values():
            interface.sample_strangers()

    def heartbeats(self, whole: bool, bad_messages: int, refused_commands: dict[str, int]) -> list[Heartbeat]:
        self._heartbeats_sent += 1
        groups = {
            name: group
            for name, group in self._groups.items()
            if whole or not group.services or (group.config.vhid + self._heartbeats_sent) % SERVICES_EACH == 0
        }
        return heartbeats(groups, self._interfaces, bad_messages, refused_commands)

    def group_names(self) -> list[str]:
        return list(self._groups)

    def snapshots(self) -> list[GroupSnapshot]:
        return [*(snapshot(group) for group in self._groups.values()), *self.services.waiting]

    def status_lines(self) -> list[tuple[str, str]]:
        return [(name, status_line(group)) for name, group in self._groups.items()]

    def _bound_to(self, name: str | None) -> list[Group]:
        """The group of this name and those that move with it; all of them for None."""
        if name is None:
            return list(self._groups.values())
        named = self._groups.get(name)
        if named is None:
            return []
        return [named, *siblings(named, self._groups.values())]
