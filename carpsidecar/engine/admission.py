"""What of the reporter's commands is followed, and when: the reporter may be in the hands of a stranger.

Only what the configuration lets it ask for; of each kind the newest; and no more often than an operator would need,
however many groups there are. What comes too soon waits, and a newer command of its kind takes its place.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Hashable
from logging import WARNING
from typing import NamedTuple

from carpsidecar import drained
from carpsidecar.engine.throttle import Throttle
from carpsidecar.ipc.messages import (
    GroupCommand,
    Result,
    ServiceCommand,
    SetAdvskew,
    SetDemotion,
    SetPeers,
    Withhold,
    subject,
)
from carpsidecar.ipc.settings import ReporterSettings
from carpsidecar.logs import log

GROUP_BURST, GROUP_PER_S = 4.0, 0.5
"""Commands to one group, or to all of them."""
ALL_BURST_PER_GROUP, ALL_BURST, ALL_PER_S = 2.0, 10.0, 5.0
"""Groups that are commanded, one by one or all at once."""
WAIT_MIN_S = 0.2
"""How often it is tried again to follow what waits."""
_LOG_EVERY_S = 60.0
_LOG_BURST = 5

Answer = Callable[[Result], object]


class _Permission(NamedTuple):
    """To demote for one cause."""

    amount: int
    group: str | None


class Admission:
    """
    Args:
        settings: what was configured for the reporter.
        groups: the names of those that are there.
        follow: takes what is admitted.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: ReporterSettings | None,
        groups: Callable[[], Collection[str]],
        follow: Callable[[GroupCommand, Answer], None],
    ) -> None:
        self.refused: Counter[str] = Counter()
        """Commands that were not allowed, by kind."""
        self._loop = loop
        self._groups = groups
        self._follow = follow
        self._throttle = Throttle(_LOG_EVERY_S, _LOG_BURST)
        self._waiting: dict[Hashable, tuple[GroupCommand, Answer]] = {}
        self._timer: object = None
        self._of_group: dict[str | None, Bucket] = {}
        self._of_all = Bucket(loop.time())
        self.configure(settings)

    def configure(self, settings: ReporterSettings | None) -> None:
        self._demotions = _permissions(settings)
        kubernetes = settings.kubernetes if settings is not None else None
        self._may_set_peers = kubernetes is not None and kubernetes.discover_peers
        self._may_withhold = kubernetes is not None
        self._may_set_advskew = kubernetes is not None and bool(kubernetes.advskew_label)
        for key, (command, answer) in list(self._waiting.items()):
            if self._refusal(command):
                del self._waiting[key]
                answer(Result(id=command.id, outcome="superseded"))

    def handle(self, command: GroupCommand, answer: Answer) -> None:
        """Follow it, now or when there is room for it; or refuse it."""
        refusal = self._refusal(command)
        if refusal:
            self.refuse(command, refusal, answer)
            return
        key = subject(command)
        superseded = self._waiting.pop(key, None)
        if superseded is not None:
            old, answer_old = superseded
            answer_old(Result(id=old.id, outcome="superseded"))
        wait_s = self._spend(command, self._loop.time())
        if wait_s == 0:
            self._follow(command, answer)
            return
        self._waiting[key] = command, answer
        if self._timer is None:
            self._timer = self._loop.call_later(max(wait_s, WAIT_MIN_S), self._follow_waiting)

    def _refusal(self, command: GroupCommand) -> str:
        """Why it is not allowed; empty where it is."""
        match command:
            case SetPeers():
                return "" if self._may_set_peers else "the configuration has no discover_peers"
            case SetAdvskew():
                return "" if self._may_set_advskew else "the configuration has no advskew_label"
            case Withhold() if not self._may_withhold:
                return "the configuration has no kubernetes"
            case SetDemotion():
                permission = self._demotions.get(command.cause)
                if permission is None or permission.group not in (None, command.group):
                    return "nothing that is configured demotes so"
                if command.amount > permission.amount:
                    return f"it demotes by {command.amount}, and {permission.amount} is configured"
                return ""
        return "" if command.group is None or command.group in self._groups() else "there is no such group here"

    def refuse(self, command: GroupCommand | ServiceCommand, why: str, answer: Answer) -> None:
        kind = str(command.__struct_config__.tag)
        self.refused[kind] += 1
        held_back = self._throttle.allow(self._loop.time(), kind)
        if held_back is not None:
            more = f" ({held_back} more like it since)" if held_back else ""
            log(WARNING, "reporter_refused", f"a command of the reporter, {kind}, is refused: {why}{more}")
        answer(Result(id=command.id, outcome="refused", reason=why))

    def _follow_waiting(self) -> None:
        self._timer = None
        now = self._loop.time()
        for key, (command, answer) in list(self._waiting.items()):
            if self._spend(command, now) == 0:
                del self._waiting[key]
                self._follow(command, answer)
        if self._waiting:
            self._timer = self._loop.call_later(WAIT_MIN_S, self._follow_waiting)

    def _spend(self, command: GroupCommand, now: float) -> float:
        """Take what it costs out of both buckets; or how long it has to wait, and nothing is taken."""
        name = None if isinstance(command, SetPeers | SetAdvskew) else command.group
        count = len(self._groups())
        of_group = self._of_group.get(name) or Bucket(now)
        wait_s = max(
            of_group.wait_s(now, 1, GROUP_BURST, GROUP_PER_S),
            self._of_all.wait_s(
                now, count if name is None else 1, ALL_BURST_PER_GROUP * count + ALL_BURST, ALL_PER_S
            ),
        )
        if wait_s == 0:
            self._of_group[name] = of_group
            of_group.left -= 1
            self._of_all.left -= count if name is None else 1
            self._forget_full(now)
        return wait_s

    def _forget_full(self, now: float) -> None:
        """Groups come and go; a bucket that is full is like one that is not there."""
        for name, bucket in list(self._of_group.items()):
            if now - bucket.at > GROUP_BURST / GROUP_PER_S:
                del self._of_group[name]


class Bucket:
    """So much at once, and so much a second for long."""

    def __init__(self, now: float) -> None:
        self.left = float("inf")
        self.at = now

    def wait_s(self, now: float, cost: float, burst: float, per_s: float) -> float:
        """How long until there is as much in it."""
        self.left = min(burst, self.left + (now - self.at) * per_s)
        self.at = now
        return max(0.0, cost - self.left) / per_s


def _permissions(settings: ReporterSettings | None) -> dict[str, _Permission]:
    """What may demote, by cause."""
    if settings is None:
        return {}
    found = {f"check:{check.name}": _Permission(check.demotion, check.group) for check in settings.checks}
    kubernetes = settings.kubernetes
    if kubernetes is not None:
        found["drain"] = found["terminating"] = _Permission(drained.DEMOTION, None)
        found["unready"] = _Permission(kubernetes.unready_demotion, None)
        found["absent"] = _Permission(kubernetes.absent_demotion, None)
        found["cordon"] = _Permission(kubernetes.cordon_demotion, None)
    return found
