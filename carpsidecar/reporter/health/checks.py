"""Runs the checks, each at its interval, and demotes while one of them finds that this node can't serve.

Until a check has decided for the first time its service counts as healthy: a node that has just started is not
demoted for what is starting beside it.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from logging import DEBUG, ERROR, INFO, WARNING

from carpsidecar.ipc.messages import SetDemotion, ToEngine
from carpsidecar.ipc.settings import Check
from carpsidecar.logs import log
from carpsidecar.reporter.health.attempt import Attempt, attempt_for
from carpsidecar.status.stats import CheckStats

JITTER = 0.1
"""An interval is longer or shorter by up to this part of it, so that the checks of many nodes spread out."""

_INTERVAL_MIN_S = 0.1


class HealthChecks:
    """All checks, in the running loop.

    Args:
        send: sends the engine a command.
    """

    def __init__(self, checks: Sequence[Check], stats: CheckStats, send: Callable[[ToEngine], None]) -> None:
        self._checks = [_Repeated(check, stats, send) for check in checks]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(check.run(), name=f"check {check.name}") for check in self._checks]

    async def close(self) -> None:
        """End what runs. The demotions stay as they are."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()


class _Repeated:
    """One check: run again and again, never twice at a time."""

    def __init__(self, check: Check, stats: CheckStats, send: Callable[[ToEngine], None]) -> None:
        self.name = check.name
        self._check = check
        self._stats = stats
        self._send = send
        self._attempt: Attempt = attempt_for(check)
        self._decided: bool | None = None
        self._in_a_row = 0
        self._last_was_good = True
        stats.healthy[check.name] = True

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        interval_s = max(self._check.interval_s, _INTERVAL_MIN_S)
        # The first at once, but not those of all checks together.
        await asyncio.sleep(random.uniform(0, JITTER) * interval_s)  # noqa: S311
        while True:
            begun = loop.time()
            self._take(await self._problem())
            due = begun + interval_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _problem(self) -> str | None:
        """Run it once. What was bad; None where nothing was."""
        timeout = asyncio.timeout(self._check.timeout_s)
        try:
            async with timeout:
                return await self._attempt()
        except TimeoutError:
            return f"no answer in {self._check.timeout_s:g} s" if timeout.expired() else "the network timed out"
        except Exception as error:
            # A check that is wrong in itself must not end, and the others with it.
            log(ERROR, "bug", f"unexpected, please report it: check {self.name}: {error!r}")
            return f"it could not be run: {error!r}"

    def _take(self, problem: str | None) -> None:
        good = problem is None
        self._in_a_row = self._in_a_row + 1 if good is self._last_was_good else 1
        self._last_was_good = good
        self._stats.results[(self.name, "good" if good else "bad")] += 1
        if problem is not None:
            log(DEBUG, "check_bad", f"check {self.name}: {problem}", check=self.name)
        needed = self._check.rise if good else self._check.fall
        if good is self._decided or self._in_a_row < needed:
            return
        before, self._decided = self._decided, good
        self._stats.healthy[self.name] = good
        if problem is not None:
            log(
                WARNING,
                "check_failed",
                f"check {self.name}: unhealthy: {problem}",
                check=self.name,
                problem=problem,
                demotion=self._check.demotion,
            )
        elif before is not None:
            log(INFO, "check_passed", f"check {self.name}: healthy again", check=self.name)
        # Sent when it is good from the start, too: a reporter before this one may have demoted.
        self._send(
            SetDemotion(
                cause=f"check:{self.name}",
                amount=0 if good else self._check.demotion,
                group=self._check.group,
                bow_out=not good,
            )
        )
