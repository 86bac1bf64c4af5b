"""An operator's commands: sent to the engine, and answered with what became of them in each group."""

import asyncio
from collections.abc import Awaitable

from carpsidecar import drained
from carpsidecar.ipc.messages import Drain, GroupCommand, GroupSnapshot, Promote, Result, StepDown
from carpsidecar.reporter.engine import Engine
from carpsidecar.status.requests import Done, GroupResult, Refused, Request
from carpsidecar.status.state import State

DONE_WITHIN_S = 3.0
SUCCESSOR_WITHIN_S = 1.0
"""How long to wait for the first advertisement of the next master."""


class NotDone(Exception):
    """What the engine did not do, and why."""


class Commands:
    """Follows them, each in its own time."""

    def __init__(self, state: State, engine: Engine) -> None:
        self._state = state
        self._engine = engine

    async def follow(self, request: Request) -> Done | Refused:
        groups = self._state.groups
        names = list(groups) if request.group is None else [request.group]
        if not names:
            return Refused(text="the engine has no group yet: try again when it has started")
        if request.type in ("drain", "undrain"):
            # One command for all of them, and for those that come later.
            command = Drain(group=request.group, on=request.type == "drain", text=request.reason)
            answer = asyncio.ensure_future(self._request(command))
            settle = self._drain if command.on else self._undrain
            return Done(results=await asyncio.gather(*(settle(name, groups.get(name), answer) for name in names)))
        follow = {"step-down": self._step_down, "promote": self._promote}[request.type]
        return Done(results=await asyncio.gather(*(follow(name, request.reason) for name in names)))

    async def _step_down(self, name: str, reason: str) -> GroupResult:
        was_master = self._role(name) == "master"
        # A backup, too: it may have been promoted, and be on its way.
        try:
            await self._result_of(name, self._request(StepDown(group=name, text=reason)))
        except NotDone as error:
            return self._result(name, False, str(error))
        if not was_master:
            return self._result(name, True, f"is {self._role(name)}, not master")
        successor = await self._successor(name)
        if self._role(name) == "master":
            return self._result(name, False, f"stepped down; {successor}")
        return self._result(name, True, f"is not master any more; {successor}")

    async def _promote(self, name: str, reason: str) -> GroupResult:
        if self._role(name) == "master":
            return self._result(name, True, "is master already")
        try:
            await self._result_of(name, self._request(Promote(group=name, text=reason)))
        except NotDone as error:
            return self._result(name, False, str(error))
        if self._role(name) == "master":
            return self._result(name, True, "is master now")
        return self._result(name, False, f"is not master: it is {self._role(name)} again")

    async def _drain(self, name: str, before: GroupSnapshot | None, answer: Awaitable[Result]) -> GroupResult:
        was_master = before is not None and before.role == "master"
        try:
            problem = await self._result_of(name, answer)
        except NotDone as error:
            return self._result(name, False, str(error))
        lasting = f"; {problem}" if problem else ""
        if not was_master:
            return self._result(name, True, f"is drained; it is {self._role(name)}{lasting}")
        return self._result(name, True, f"is drained; {await self._successor(name)}{lasting}")

    async def _undrain(self, name: str, before: GroupSnapshot | None, answer: Awaitable[Result]) -> GroupResult:
        was_drained = before is not None and drained.CAUSE in before.demotions
        try:
            problem = await self._result_of(name, answer)
        except NotDone as error:
            return self._result(name, False, str(error))
        text = "is not drained any more" if was_drained else "was not drained"
        return self._result(name, not problem, f"{text}; {problem}" if problem else text)

    # What they have in common.

    async def _request(self, command: GroupCommand) -> Result:
        """Raises: TimeoutError."""
        return await self._engine.request(command, DONE_WITHIN_S)

    async def _result_of(self, name: str, answer: Awaitable[Result]) -> str:
        """What could not be done of it; empty where all was.

        Raises:
            NotDone: it was refused, or there was no result in time.
        """
        try:
            result = await answer
        except TimeoutError:
            raise NotDone(f"is {self._role(name)}; no answer within {DONE_WITHIN_S:g} s") from None
        if result.outcome == "superseded":
            raise NotDone("a newer command came before this one was followed")
        if result.outcome == "refused":
            raise NotDone(result.reason.removeprefix(f"{name} "))
        return result.reason

    async def _successor(self, name: str) -> str:
        """Who is master now, where that is heard soon."""
        await self._state.until(lambda: self._master(name) is not None, SUCCESSOR_WITHIN_S)
        if self._role(name) == "master":
            return "no other node took over: it is master again"
        master = self._master(name)
        return f"{master} is" if master else "no other master is heard yet"

    def _role(self, name: str) -> str:
        return self._state.groups[name].role if name in self._state.groups else "gone"

    def _master(self, name: str) -> str | None:
        return self._state.groups[name].master if name in self._state.groups else None

    def _result(self, name: str, done: bool, text: str) -> GroupResult:
        if not self._state.engine_alive:
            text += "; the engine is silent"
        return GroupResult(group=name, done=done, text=text)
