"""What an operator asks for: told to the engine, and answered when it is so or clearly will not be."""

import asyncio
import time
from collections.abc import Callable
from logging import WARNING

from carpsidecar import drained
from carpsidecar.ipc.messages import GroupSnapshot, Promote, SetDemotion, StepDown, ToEngine
from carpsidecar.logs import in_words, log
from carpsidecar.reporter.state import State
from carpsidecar.status.documents import Done, Refused, Request, Result

DONE_WITHIN_S = 3.0
SUCCESSOR_WITHIN_S = 1.0
"""How long somebody who wants to know who is master now waits for that master's first advertisement."""


class Commands:
    """Follows them, each in its own time. Args: ask: tells the engine."""

    def __init__(self, state: State, ask: Callable[[ToEngine], None]) -> None:
        self._state = state
        self._ask = ask

    async def follow(self, request: Request) -> Done | Refused:
        groups = self._state.groups
        names = list(groups) if request.group is None else [request.group]
        if not names:
            return Refused(text="the engine has no group yet: ask again when it has started")
        follow = {
            "step-down": self._step_down,
            "promote": self._promote,
            "drain": self._drain,
            "undrain": self._undrain,
        }[request.type]
        return Done(results=await asyncio.gather(*(follow(name, request.reason) for name in names)))

    async def _step_down(self, name: str, reason: str) -> Result:
        was_master = self._role(name) == "master"
        # A backup, too: it may have been promoted, and be on its way.
        self._ask(StepDown(group=name, text=reason))
        if not was_master:
            return self._result(name, True, f"is {self._role(name)}, not master")
        if not await self._until(name, lambda group: group.role != "master"):
            return self._result(name, False, f"is still master after {DONE_WITHIN_S:g} s")
        successor = await self._successor(name)
        if self._role(name) == "master":
            return self._result(name, False, f"stepped down; {successor}")
        return self._result(name, True, f"is not master any more; {successor}")

    async def _promote(self, name: str, reason: str) -> Result:
        if self._role(name) == "master":
            return self._result(name, True, "is master already")
        asked_s = time.time()
        self._ask(Promote(group=name, text=reason))
        refusals: list[str] = []

        def settled(group: GroupSnapshot) -> bool:
            refusals[:] = [
                notice.text
                for notice in self._state.notices
                if notice.kind == "refused" and notice.group == name and notice.at_s >= asked_s
            ]
            return group.role == "master" or bool(refusals)

        await self._until(name, settled)
        if self._role(name) == "master":
            return self._result(name, True, "is master now")
        if refusals:
            return self._result(name, False, refusals[-1].removeprefix(f"{name} "))
        return self._result(name, False, f"is not master after {DONE_WITHIN_S:g} s")

    async def _drain(self, name: str, reason: str) -> Result:
        # First on the disk: an engine that starts anew at this moment is to find it there.
        lasting = await self._store(name, "drains until the engine's end only", drained.write, reason)
        was_master = self._role(name) == "master"
        self._ask(self._demotion(name, drained.DEMOTION, reason))
        done = await self._until(name, lambda group: drained.CAUSE in group.demotions and group.role != "master")
        if not done:
            return self._result(name, False, f"is not drained after {DONE_WITHIN_S:g} s{lasting}")
        if not was_master:
            return self._result(name, True, f"is drained; it is {self._role(name)}{lasting}")
        return self._result(name, True, f"is drained; {await self._successor(name)}{lasting}")

    async def _undrain(self, name: str, reason: str) -> Result:
        was_drained = drained.CAUSE in self._state.groups[name].demotions
        lasting = await self._store(name, "is drained again at the engine's next start", drained.remove)
        self._ask(self._demotion(name, 0, reason))
        done = await self._until(name, lambda group: drained.CAUSE not in group.demotions)
        text = "is not drained any more" if done else f"is still drained after {DONE_WITHIN_S:g} s"
        if done and not was_drained:
            text = "was not drained"
        return self._result(name, done and not lasting, text + lasting)

    # What they have in common.

    @staticmethod
    def _demotion(name: str, amount: int, reason: str) -> SetDemotion:
        return SetDemotion(cause=drained.CAUSE, amount=amount, group=name, bow_out=amount > 0, text=reason)

    async def _store(self, name: str, otherwise: str, change: Callable[..., None], *arguments: str) -> str:
        """Change its file, and those of the groups that move with it. What to say where that fails."""
        try:
            for bound in self._bound_to(name):
                # The disk may hang, and nobody else is to wait for it.
                await asyncio.to_thread(change, bound, *arguments)
        except OSError as error:
            text = f"{drained.folder()} can't be written ({in_words(error)}): it {otherwise}"
            log(WARNING, "drain_not_kept", text, group=name)
            return f"; {text}"
        return ""

    async def _successor(self, name: str) -> str:
        """Who is master now, where that is heard soon."""
        await self._state.until(lambda: self._master(name) is not None, SUCCESSOR_WITHIN_S)
        if self._role(name) == "master":
            return "no other node took over: it is master again"
        master = self._master(name)
        return f"{master} is" if master else "no other master is heard yet"

    async def _until(self, name: str, wanted: Callable[[GroupSnapshot], bool]) -> bool:
        groups = self._state.groups
        await self._state.until(lambda: name not in groups or wanted(groups[name]), DONE_WITHIN_S)
        return name in groups and wanted(groups[name])

    def _bound_to(self, name: str) -> list[str]:
        groups = self._state.groups
        sync_group = groups[name].sync_group if name in groups else None
        return [name] if sync_group is None else [g.group for g in groups.values() if g.sync_group == sync_group]

    def _role(self, name: str) -> str:
        return self._state.groups[name].role if name in self._state.groups else "gone"

    def _master(self, name: str) -> str | None:
        return self._state.groups[name].master if name in self._state.groups else None

    def _result(self, name: str, done: bool, text: str) -> Result:
        if not self._state.engine_alive:
            text += "; the engine is silent"
        return Result(group=name, done=done, text=text)
