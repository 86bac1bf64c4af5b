"""The answer to `status`: what the engine reported last, after it was requested to report once more."""

import asyncio

from carpsidecar.ipc.messages import Result, SendHeartbeat
from carpsidecar.reporter.engine import Engine
from carpsidecar.status.builder import StatusBuilder
from carpsidecar.status.model import NodeStatus
from carpsidecar.status.state import State

FRESH_S = 0.1
"""What was reported so lately need not be reported again; the engine would keep us waiting."""
ANSWERS_WITHIN_S = 0.2


class FreshStatus:
    """Several requests at the same time get one heartbeat of the engine."""

    def __init__(self, state: State, engine: Engine, builder: StatusBuilder) -> None:
        self._state = state
        self._engine = engine
        self._builder = builder
        self._request: asyncio.Task[Result] | None = None

    async def make(self, group: str | None) -> NodeStatus:
        """Of this group, or of all."""
        return self._builder.build(group, answers=self._is_fresh() or await self._answers())

    def _is_fresh(self) -> bool:
        """Whether the engine reported so lately of itself and all groups that it runs."""
        state = self._state
        return (
            state.engine_silent_s is not None
            and state.engine_silent_s <= FRESH_S
            and all(state.counted_s_ago(group) <= FRESH_S for group in state.counters)
        )

    async def _answers(self) -> bool:
        """Have the engine send a heartbeat. Whether it did."""
        if self._request is None or self._request.done():
            self._request = asyncio.create_task(self._engine.request(SendHeartbeat(), ANSWERS_WITHIN_S))
        try:
            return (await asyncio.shield(self._request)).outcome == "done"
        except TimeoutError:
            return False
