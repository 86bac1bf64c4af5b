"""A fake engine behind a control socket, and a client that sends what a test wants to the byte."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from msgspec.structs import replace

from carpsidecar.engine.control_socket import ControlSocket
from carpsidecar.ipc.messages import (
    Drain,
    GroupSnapshot,
    Heartbeat,
    PeerHeard,
    Promote,
    Result,
    SendHeartbeat,
    StepDown,
    ToEngine,
)
from carpsidecar.reporter.control.commands import Commands
from carpsidecar.reporter.control.server import ControlServer
from carpsidecar.reporter.control.status import FreshStatus
from carpsidecar.reporter.engine import Engine
from carpsidecar.status.builder import StatusBuilder
from carpsidecar.status.state import State
from carpsidecar.status.stats import Stats
from tests.support.builders import counters, snapshot
from tests.support.waits import SOON_S

PID = 4711
OURS, OTHER = "192.0.2.11", "192.0.2.12"
COUNTED: dict[str, Any] = {
    "advertisements_sent": 3,
    "transitions": {"backup": {"started": 1}},
    "lease_renewals": 2,
    "hooks": {"ok": 1, "failed": 0},
}


def backup(name: str = "web", **fields: Any) -> GroupSnapshot:
    """A backup of the other node, since now."""
    return snapshot(name, **{"since_s": time.time(), "vhid": 100, "master": OTHER, **fields})


class FakeEngine:
    """Does at once what it is asked. `deaf`: it does nothing; `refuses`: why it does not promote;
    `not_stored`: why a drain is not."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.asked: list[ToEngine] = []
        self.deaf = False
        self.refuses = ""
        self.not_stored = ""
        self.lease_left_s: float | None = None
        self.peers: dict[str, PeerHeard] = {}

    async def request(self, command: ToEngine, within_s: float) -> Result:
        self.asked.append(command)
        if self.deaf:
            await asyncio.sleep(within_s)
            raise TimeoutError
        return self._handle(command)

    def beat(self) -> None:
        counted = counters(**COUNTED, lease_left_s=self.lease_left_s, peers=self.peers)
        drops = {"eth0": {"checksum": 0, "digest": 2}}
        self.state.receive(
            Heartbeat(
                sent_s=time.time(), counters=dict.fromkeys(self.state.groups, counted), drops=drops, bad_messages=0
            )
        )

    def _handle(self, command: ToEngine) -> Result:
        match command:
            case SendHeartbeat():
                self.beat()
            case StepDown():
                if self._of(command.group).role == "master":
                    reason = f"asked to step down: {command.text}"
                    self._change(command.group, role="backup", master=OTHER, reason=reason)
            case Promote():
                if self.refuses:
                    return Result(id=command.id, outcome="refused", reason=self.refuses)
                self._change(command.group, role="master", master=OURS, reason=f"promoted: {command.text}")
            case Drain():
                demotions = {"operator": 240} if command.on else {}
                for group in [command.group] if command.group else list(self.state.groups):
                    self._change(group, demotions=demotions, demotion_texts={"operator": command.text})
                    if command.on and self._of(group).role == "master":
                        self._change(group, role="backup", master=OTHER)
                return Result(id=command.id, outcome="done", reason=self.not_stored)
        return Result(id=command.id, outcome="done")

    def _of(self, group: str | None) -> GroupSnapshot:
        assert group is not None
        return self.state.groups[group]

    def _change(self, group: str | None, **fields: Any) -> None:
        self.state.receive(replace(self._of(group), **fields))


class Served:
    def __init__(self, path: Path, server: ControlServer, engine: FakeEngine) -> None:
        self.path = path
        self.server = server
        self.engine = engine

    async def ask(self, **request: Any) -> dict[str, Any]:
        return await self.say(json.dumps(request).encode() + b"\n")

    async def say(self, data: bytes, *, end: bool = False) -> dict[str, Any]:
        """What is answered: one line of JSON, and then the end."""
        reader, writer = await asyncio.open_unix_connection(self.path, limit=1 << 24)
        try:
            writer.write(data)
            if end:
                writer.write_eof()
            line = await asyncio.wait_for(reader.read(), SOON_S)
        finally:
            writer.close()
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        answer: dict[str, Any] = json.loads(line)
        return answer


@asynccontextmanager
async def served(folder: Path, *groups: GroupSnapshot) -> AsyncIterator[Served]:
    state = State()
    engine = FakeEngine(state)
    for group in groups or (backup(),):
        state.receive(group)
    engine.beat()
    path = folder / "run" / f"{PID}.sock"
    as_engine = cast(Engine, engine)
    status = FreshStatus(state, as_engine, StatusBuilder(state, Stats(), PID, "n1"))
    control = ControlSocket(path)
    assert control.listening is not None
    server = ControlServer(control.listening, state, status, Commands(state, as_engine))
    await server.start()
    try:
        yield Served(path, server, engine)
    finally:
        await server.close()
        control.close()
