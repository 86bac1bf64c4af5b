"""What the parts of the reporter count, for the metrics and the page. Written by one part, read by others."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Literal

from msgspec import Struct, field

from carpsidecar.status.model import ServiceView

ApiResource = Literal["pod_status", "event", "service_status"]
ApiFailure = Literal[
    "unreachable", "timeout", "unauthorized", "forbidden", "conflict", "throttled", "server", "other"
]
CheckOutcome = Literal["good", "bad"]


class ApiStats(Struct):
    """Of Kubernetes' API."""

    writes: Counter[ApiResource] = field(default_factory=Counter)
    """That succeeded."""
    failures: Counter[ApiFailure] = field(default_factory=Counter)
    """Of requests of any kind."""
    reachable: bool = False
    """Whether the last request was answered."""
    silent_since: float | None = field(default_factory=time.monotonic)
    """Since when it was not, on the monotonic clock."""
    split_brain: set[str] = field(default_factory=set)
    """Groups of which another pod is master, too, as the API shows."""
    unwritten_s: Callable[[], float] = lambda: 0.0
    """How old the oldest change of a role is that is not written yet; 0 where all are."""

    def answered(self, is_answer: bool) -> None:
        self.reachable = is_answer
        self.silent_since = None if is_answer else self.silent_since or time.monotonic()

    @property
    def silent_s(self) -> float | None:
        return None if self.silent_since is None else time.monotonic() - self.silent_since


class CheckStats(Struct):
    """Of the health checks, by name."""

    healthy: dict[str, bool] = field(default_factory=dict)
    results: Counter[tuple[str, CheckOutcome]] = field(default_factory=Counter)


class Stats(Struct):
    api: ApiStats = field(default_factory=ApiStats)
    checks: CheckStats = field(default_factory=CheckStats)
    services: Callable[[], list[ServiceView]] | None = None
    """All Services of ours, where they are given addresses."""
