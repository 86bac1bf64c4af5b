"""The groups of addresses of Services: they come, change and go while all others go on as they are.

The reporter commands them, and may be in the hands of a stranger: an address has to lie in a configured pool and a
vhid in the configured range, there is a bounded number of them, and each changes at a bounded rate. What is to be
done is done in slices, so that hundreds at once keep no other group from its advertisements and renewals.
"""

import asyncio
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from logging import WARNING
from typing import Protocol

from msgspec.structs import replace

from carpsidecar.config.group import GroupConfig
from carpsidecar.config.load_balancer import ServiceAddresses as Configured
from carpsidecar.engine.admission import Answer, Bucket
from carpsidecar.engine.group import Group
from carpsidecar.engine.report import failed
from carpsidecar.engine.service_file import ServiceFile
from carpsidecar.engine.settings import keeps_state
from carpsidecar.engine.startup import StartError
from carpsidecar.engine.throttle import Throttle
from carpsidecar.ipc.messages import (
    GroupGone,
    GroupSnapshot,
    KeepServiceAddresses,
    ProbeAddress,
    Result,
    ServiceCommand,
    SetServiceAddress,
)
from carpsidecar.logs import in_words, log
from carpsidecar.pools import IPAddress

BURST, PER_S = 4.0, 0.5
"""Changes of one address."""
ALL_BURST_PER_ADDRESS, ALL_PER_S = 2.0, 20.0
"""Changes of all of them; the burst by `max_addresses`."""
PROBES_BURST, PROBES_PER_S = 1000.0, 10.0
SLICE_S, REST_S = 0.004, 0.004
TRY_AGAIN_S = 5.0
_LOG_EVERY_S, _LOG_BURST = 60.0, 5


class Groups(Protocol):
    """The engine, as far as groups come and go by command."""

    def network_of(self, address: IPAddress) -> str | None:
        """The interface of the network that has it; None where no network of this node does."""

    def open_services(self, configured: Configured) -> None:
        """Before the first one is added. Raises: StartError, OSError."""

    def add_service_group(self, config: GroupConfig, command: SetServiceAddress) -> Group:
        """Raises: StartError."""

    def reconfigure_group(self, group: Group, config: GroupConfig) -> None:
        """Raises: OSError."""

    def remove_service_group(self, group: Group) -> None: ...

    def probe(self, interface: str, address: IPAddress, done: Callable[[bytes | None], None]) -> None:
        """Ask who has it. Raises: OSError."""


class ServiceAddresses:
    """
    Args:
        report: called with an address that can't be served yet, and when it is gone.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        groups: Groups,
        report: Callable[[GroupSnapshot | GroupGone], None],
    ) -> None:
        self._loop = loop
        self._engine = groups
        self._report = report
        self._configured: Configured | None = None
        self._desired: dict[IPAddress, SetServiceAddress] = {}
        self._groups: dict[IPAddress, Group] = {}
        self._waiting: dict[IPAddress, GroupSnapshot] = {}
        """Those that can't be served yet."""
        self._due: dict[IPAddress, tuple[int, Answer] | None] = {}
        """What is to be settled, in order, and the command that is answered then."""
        self._buckets: dict[IPAddress, Bucket] = {}
        self._all, self._probes = Bucket(loop.time()), Bucket(loop.time())
        self._timer: asyncio.TimerHandle | None = None
        self._works_at = 0.0
        self._trying_again: asyncio.TimerHandle | None = None
        self._throttle = Throttle(_LOG_EVERY_S, _LOG_BURST)
        self._file = ServiceFile(loop)

    @property
    def waiting(self) -> Iterable[GroupSnapshot]:
        return self._waiting.values()

    def configure(self, configured: Configured | None) -> None:
        """Go by these pools from now on: what no longer lies in them goes, what does keeps its state."""
        first = self._configured is None
        self._configured = configured
        for address, command in list(self._desired.items()):
            if self.refusal(command):
                self._give_up(address)
        for address in self._groups:
            self._settle_soon(address)
        if first and configured is not None:
            for command in self._file.read():
                if command.advskew_returned is not None:
                    command = replace(command, advskew=command.advskew_returned)
                if not self.refusal(command):
                    self._take(command, ip_address(command.address))

    def close(self) -> None:
        """Nothing comes or goes any more."""
        for timer in (self._timer, self._trying_again):
            if timer is not None:
                timer.cancel()
        self._file.close()

    # Commands.

    def refusal(self, command: ServiceCommand) -> str:
        """Why the configuration does not allow it; empty where it does."""
        configured = self._configured
        if configured is None:
            return "no load_balancer is configured"
        if isinstance(command, KeepServiceAddresses):
            bad = (text for text in command.addresses if _parsed(text) is None)
            return next((f"{text!r} is no address" for text in bad), "")
        address = _parsed(command.address)
        if address is None:
            return f"{command.address!r} is no address"
        if configured.pools.pool_of(address) is None:
            return f"{address} is in no pool of load_balancer"
        if isinstance(command, ProbeAddress):
            return ""
        if command.vhid not in configured.vhids:
            first, last = configured.vhids[0], configured.vhids[-1]
            return f"vhid {command.vhid} is not one of load_balancer.vhids, {first}-{last}"
        if address not in self._desired and len(self._desired) >= configured.max_addresses:
            return f"there are {len(self._desired)} already, as many as load_balancer.max_addresses allows"
        return ""

    def handle(self, command: ServiceCommand, answer: Answer) -> None:
        """Follow one that is not refused; `answer` is called once, when that is done."""
        if isinstance(command, ProbeAddress):
            self._probe(command, answer)
            return
        if isinstance(command, KeepServiceAddresses):
            kept = set(map(ip_address, command.addresses))
            for address in self._desired.keys() - kept:
                self._give_up(address)
            self._file.store(self._desired.values())
            answer(Result(id=command.id, outcome="done"))
            return
        address = ip_address(command.address)
        desired = self._desired.get(address)
        if desired is not None and replace(desired, id=command.id) == command and address not in self._due:
            reason = self._waiting[address].reason if address in self._waiting else ""
            answer(Result(id=command.id, outcome="done", reason=reason))
            return
        self._take(command, address, (command.id, answer))
        self._file.store(self._desired.values())

    def _take(
        self, command: SetServiceAddress, address: IPAddress, waits: tuple[int, Answer] | None = None
    ) -> None:
        for other, desired in list(self._desired.items()):
            if desired.vhid == command.vhid and other != address:
                self._give_up(other)
        self._desired[address] = command
        self._settle_soon(address, waits)

    def _give_up(self, address: IPAddress) -> None:
        del self._desired[address]
        self._settle_soon(address)

    def _probe(self, command: ProbeAddress, answer: Answer) -> None:
        address = ip_address(command.address)

        def done(mac: bytes | None) -> None:
            if mac is None:
                answer(Result(id=command.id, outcome="done", reason=f"nobody answers for {address}"))
            else:
                answer(Result(id=command.id, outcome="refused", reason=f"in use by {mac.hex(':')}"))

        now, interface = self._loop.time(), self._interface_of(address)
        if interface is None:
            # Whoever has that network asks before he takes it.
            answer(Result(id=command.id, outcome="done", reason=f"not asked for: {_no_network(address)}"))
            return
        problem = ""
        if self._probes.wait_s(now, 1, PROBES_BURST, PROBES_PER_S) > 0:
            problem = "too many addresses are asked for: try again later"
        else:
            self._probes.left -= 1
            try:
                self._engine.probe(interface, address, done)
            except OSError as error:
                problem = in_words(error)
        if problem:
            answer(Result(id=command.id, outcome="refused", reason=problem))

    # What they come to, in slices.

    def _settle_soon(self, address: IPAddress, waits: tuple[int, Answer] | None = None) -> None:
        before = self._due.get(address)
        if before is not None and (waits is not None or address not in self._desired):
            superseded, answer = before
            answer(Result(id=superseded, outcome="superseded"))
            before = None
        self._due[address] = waits or before
        self._work_in(0.0)

    def _work_in(self, wait_s: float) -> None:
        at = self._loop.time() + wait_s
        if self._timer is not None:
            if self._works_at <= at:
                return
            self._timer.cancel()
        self._works_at = at
        self._timer = self._loop.call_later(wait_s, self._work)

    def _work(self) -> None:
        self._timer = None
        begun = now = self._loop.time()
        wait_s = float("inf")
        for address in list(self._due):
            if now - begun > SLICE_S:
                wait_s = 0.0
                break
            needs_s = self._spend(address, now)
            if needs_s > 0:
                wait_s = min(wait_s, needs_s)
                continue
            waits = self._due.pop(address)
            problem = self._settle(address)
            if waits is not None:
                command_id, answer = waits
                answer(Result(id=command_id, outcome="done", reason=problem))
            now = self._loop.time()
        if self._due:
            self._work_in(max(wait_s, REST_S))

    def _spend(self, address: IPAddress, now: float) -> float:
        """How long its change has to wait; 0 where it may be made now, as where it goes or is not there yet."""
        if self._configured is None or address not in self._desired or address in self._waiting:
            return 0.0
        bucket = self._buckets.get(address) or Bucket(now)
        burst = ALL_BURST_PER_ADDRESS * self._configured.max_addresses
        wait_s = max(bucket.wait_s(now, 1, BURST, PER_S), self._all.wait_s(now, 1, burst, ALL_PER_S))
        if wait_s == 0:
            self._buckets[address] = bucket
            bucket.left -= 1
            self._all.left -= 1
            if len(self._buckets) > burst:
                self._buckets = {ip: one for ip, one in self._buckets.items() if now - one.at < BURST / PER_S}
        return wait_s

    def _settle(self, address: IPAddress) -> str:
        """Bring its group into the state that is desired; why that can't be yet, or nothing."""
        command, group = self._desired.get(address), self._groups.get(address)
        if command is None or self._configured is None:
            self._remove(address)
            if (waiting := self._waiting.pop(address, None)) is not None:
                self._report(GroupGone(group=waiting.group))
            return ""
        config = self._configured.group(address, command.vhid)
        if group is not None and config.interface is None:
            config = self._configured.group(address, command.vhid, group.configured.interface)
        if group is not None and not keeps_state(group.configured, config):
            self._remove(address)
            group = None
        try:
            if group is not None:
                self._engine.reconfigure_group(group, config)
                group.serve(command)
            else:
                self._add(address, config, command)
        except OSError as error:
            return self._wait(address, config, command, in_words(error))
        except StartError as error:
            return self._wait(address, config, command, str(error))
        self._waiting.pop(address, None)
        return ""

    def _add(self, address: IPAddress, config: GroupConfig, command: SetServiceAddress) -> None:
        """Raises: StartError, OSError."""
        assert self._configured is not None
        self._engine.open_services(self._configured)
        interface = self._interface_of(address)
        if interface is None:
            raise StartError(_no_network(address))
        for other, group in list(self._groups.items()):
            if group.configured.vhid == config.vhid:
                self._remove(other)
        named = self._configured.group(address, command.vhid, interface)
        self._groups[address] = self._engine.add_service_group(named, command)

    def _remove(self, address: IPAddress) -> None:
        group = self._groups.pop(address, None)
        if group is not None:
            self._engine.remove_service_group(group)

    def _interface_of(self, address: IPAddress) -> str | None:
        assert self._configured is not None
        config = self._configured.group(address, self._configured.vhids[0])
        return config.interface or self._engine.network_of(address)

    def _wait(self, address: IPAddress, config: GroupConfig, command: SetServiceAddress, why: str) -> str:
        before = self._waiting.get(address)
        snapshot = failed(config, why, before, "init", command.services)
        self._waiting[address] = snapshot
        if snapshot != before:
            self._report(snapshot)
            if self._throttle.allow(self._loop.time(), why) is not None:
                log(WARNING, "service_waits", f"{why}; tried again each {TRY_AGAIN_S:g} s", group=config.name)
        if self._trying_again is None:
            self._trying_again = self._loop.call_later(TRY_AGAIN_S, self._try_again)
        return why

    def _try_again(self) -> None:
        self._trying_again = None
        for address in self._waiting:
            self._settle_soon(address)


def _parsed(text: str) -> IPAddress | None:
    try:
        return ip_address(text) if "%" not in text else None
    except ValueError:
        return None


def _no_network(address: IPAddress) -> str:
    return f"no network of this node has {address}: give its pool an interface, or other addresses"
