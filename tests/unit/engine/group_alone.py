"""A group with its clock set by hand, on a fake machine."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from carpsidecar.engine import shell as module
from carpsidecar.engine.group import Group
from carpsidecar.engine.shell import Host
from carpsidecar.linux.netlink import Link
from carpsidecar.protocol.auth import Claim
from carpsidecar.protocol.effects import Advertise
from tests.unit.engine.loops import group_config

Done = Callable[[OSError | None], None]


class Clock:
    """In the place of the loop: its time is set by hand, and may jump while somebody is at work."""

    def __init__(self) -> None:
        self.now = 0.0
        self.jump_after: int | None = None
        """So many looks at the clock from now, an hour passes."""
        self.timers: list[tuple[float, Callable[..., None]]] = []

    def time(self) -> float:
        if self.jump_after is not None:
            self.jump_after -= 1
            if self.jump_after < 0:
                self.now, self.jump_after = self.now + 3600, None
        return self.now

    def call_at(self, at: float, called: Callable[..., None], *arguments: Any) -> Any:
        timer = (at, lambda: called(*arguments))
        self.timers.append(timer)

        def cancel() -> None:
            if timer in self.timers:
                self.timers.remove(timer)

        return SimpleNamespace(cancel=cancel, when=lambda: at)

    def call_later(self, after_s: float, called: Callable[..., None], *arguments: Any) -> Any:
        return self.call_at(self.now + after_s, called, *arguments)

    def call_soon(self, called: Callable[..., None], *arguments: Any) -> Any:
        return self.call_at(self.now, called, *arguments)

    def go_on(self) -> None:
        """To the next timer."""
        timer = min(self.timers, key=lambda timer: timer[0])
        self.timers.remove(timer)
        self.now = max(self.now, timer[0])
        timer[1]()


class Machine:
    """What a group has around it: the wire, and a kernel that renews when the test lets it."""

    def __init__(self) -> None:
        self.sent: list[Advertise] = []
        self.renewing: list[Done] = []
        self.removed = 0
        self.ips: dict[Any, None] = {}
        self.sources = {4: "192.0.2.1"}
        self.missing_families = ""
        self.source = None
        self.failure: OSError | None = None
        """Of what waits for the kernel."""

    def send(self, now: float, claim: Claim) -> None:
        self.sent.append(Advertise(claim.advbase, claim.advskew))

    def find_sources(self, virtual: object) -> bool:
        return False

    def keep_live(self, until: float) -> bool:
        return False

    def fence(self, wanted: bool, until: float = 0.0) -> None: ...

    def close_ports(self, wanted: bool) -> None: ...

    def add(self, lifetime_s: int, until: float) -> None:
        if self.failure is not None:
            raise self.failure

    def renew(self, lifetime_s: int, done: Done) -> bool:
        self.renewing.append(done)
        return True

    def answer(self, error: OSError | None = None) -> None:
        self.renewing.pop(0)(error)

    def remove(self) -> None:
        self.removed += 1

    def rearrange(self) -> None: ...

    def configure(self, what: object) -> None: ...

    def announce(self) -> None: ...

    def stop(self) -> None: ...


class GroupAlone:
    """On a segment where nobody else has the address. `go_on` with the clock until it `is_master`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.machine, self.clock = Machine(), Clock()
        for part in ("Transmitter", "HeldAddresses", "Announcements"):
            monkeypatch.setattr(module, part, lambda *_: self.machine)
        link = Link(index=7, name="eth7", up=True, mac=b"", loopback=False)
        claims = SimpleNamespace(watch_soon=lambda: None, ask=lambda *_: None)
        nothing_missed: Any = lambda since: False  # noqa: E731
        interface = SimpleNamespace(
            name="eth7",
            link=link,
            up=True,
            claims=claims,
            open_missing=lambda: None,
            missed_since=nothing_missed,
            read=lambda: None,
            read_strangers=lambda: None,
        )
        loop, nothing = cast(asyncio.AbstractEventLoop, self.clock), cast(Any, None)
        ignored: Any = lambda *_: None  # noqa: E731
        host = Host(loop, nothing, nothing, nothing, lambda: (), ignored, ignored, ignored, lambda mac: False)
        self.group = Group(host, cast(Any, interface), group_config())
        self.group.start()
