"""Who holds an address, as the kernels of the nodes have it; the daemons are not asked."""

import os
import selectors
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from carpsidecar.lab.addresses import AddressMonitor
from carpsidecar.lab.closing import Closing
from carpsidecar.lab.node import Node

_FIRST_ANSWER_WITHIN_S = 5.0


@dataclass(frozen=True)
class Change:
    at: float
    node: str
    held: bool


@dataclass(frozen=True)
class Overlap:
    """From `start` to `end` these nodes, two or more, all held the address."""

    start: float
    end: float
    nodes: frozenset[str]

    @property
    def duration_s(self) -> float:
        return self.end - self.start


class HolderWatch(Closing):
    """Watches from the moment it is made; `changes` begins with each node's state at that moment."""

    def __init__(self, nodes: Sequence[Node], address: IPv4Address | IPv6Address | str) -> None:
        self.address = ip_address(str(address))
        self._changes: list[Change] = []
        self._held: dict[str, bool] = {}
        self._changed = threading.Condition()
        self._error: OSError | None = None
        self._monitors = {node.name: AddressMonitor(node.ns, self.address) for node in nodes}
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        self._wait(lambda: len(self._held) == len(nodes), _FIRST_ANSWER_WITHIN_S, "the nodes' first answer")

    @property
    def changes(self) -> list[Change]:
        with self._changed:
            return list(self._changes)

    def holders_now(self) -> set[str]:
        with self._changed:
            return self._holders()

    def overlaps(self, since: float = 0.0) -> list[Overlap]:
        """The times in which two nodes or more held the address; one that began earlier counts from `since` on."""
        found: list[Overlap] = []
        holders: frozenset[str] = frozenset()
        start = since
        with self._changed:
            history, now = list(self._changes), time.monotonic()
        for change in [*history, Change(now, "", False)]:
            if len(holders) > 1 and change.at > start:
                found.append(Overlap(start, change.at, holders))
            holders = holders | {change.node} if change.held else holders - {change.node}
            start = max(change.at, since)
        return found

    def two_holders_s(self, since: float = 0.0) -> float:
        return sum(overlap.duration_s for overlap in self.overlaps(since))

    def wait_until(self, wanted: Callable[[set[str]], bool], timeout_s: float, what: str) -> None:
        """Wait until `wanted` is true of the set of holders; `what` stands in the error if it never is."""
        self._wait(lambda: wanted(self._holders()), timeout_s, what)

    def wait_for_holder(self, node: str | None, timeout_s: float) -> None:
        """Wait until the node of this name holds the address; None: until nobody does."""
        if node is None:
            self.wait_until(lambda holders: not holders, timeout_s, "no holder")
        else:
            self.wait_until(lambda holders: node in holders, timeout_s, f"{node} as a holder")

    def wait_for_exactly_one(self, timeout_s: float) -> str:
        """Wait until one node alone holds the address; its name."""
        with self._changed:
            self.wait_until(lambda holders: len(holders) == 1, timeout_s, "exactly one holder")
            return next(iter(self._holders()))

    def wait_until_quiet(self, quiet_s: float, timeout_s: float) -> None:
        """Wait until nothing has changed for so long."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while self._changed.wait(quiet_s):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{self.address} changed hands for {timeout_s} s without a rest")

    def close(self) -> None:
        os.write(self._stop_write, b"x")
        self._thread.join()
        for descriptor in (self._stop_read, self._stop_write):
            os.close(descriptor)
        for monitor in self._monitors.values():
            monitor.socket.close()

    def _holders(self) -> set[str]:
        return {name for name, held in self._held.items() if held}

    def _wait(self, wanted: Callable[[], bool], timeout_s: float, what: str) -> None:
        with self._changed:
            fulfilled = self._changed.wait_for(lambda: self._error or wanted(), timeout_s)
            if self._error:
                raise self._error
            if not fulfilled:
                holders = ", ".join(sorted(self._holders())) or "nobody"
                raise TimeoutError(
                    f"waited {timeout_s} s for {what}; {self.address} is held by: {holders}; "
                    f"last changes: {self._changes[-8:]}"
                )

    def _watch(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._stop_read, selectors.EVENT_READ, None)
                for name, monitor in self._monitors.items():
                    selector.register(monitor.socket, selectors.EVENT_READ, name)
                while True:
                    ready = selector.select()
                    # One time for all, for the order among several nodes' messages is not known.
                    now = time.monotonic()
                    for key, _ in ready:
                        if key.data is None:
                            return
                        self._record(now, key.data, self._monitors[key.data].read())
        except OSError as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _record(self, now: float, node: str, history: list[bool]) -> None:
        with self._changed:
            for held in history:
                if self._held.get(node) != held:
                    self._held[node] = held
                    self._changes.append(Change(now, node, held))
                    self._changed.notify_all()
