"""The rate-limiting work queue, as client-go has it, and the worker that takes from it.

An item names what is to be reconciled, never what is to be written: each write is made of the newest that is known.
"""

import threading
import time
from collections.abc import Callable, Mapping
from logging import ERROR, INFO, WARNING
from typing import NamedTuple

from carpsidecar.logs import log
from carpsidecar.reporter.kubernetes.client import ApiError, Timing
from carpsidecar.reporter.kubernetes.ratelimit import Backoff, LogLimiter

_BACKOFFS_MAX = 4096
_FIRST_RETRY_S = 0.05


URGENT = 3
"""The last priority of items that write roles."""


class Item(NamedTuple):
    """Items of a lower priority number are handed out first."""

    priority: int
    reconciler: str
    key: tuple[str, ...] = ()

    @property
    def is_urgent(self) -> bool:
        return self.priority <= URGENT

    def __str__(self) -> str:
        return " ".join((self.reconciler, "/".join(self.key))).rstrip()


class WorkQueue:
    """Each item is in it at most once, and is not handed out while it is processed: one that is added meanwhile
    comes again afterwards. One that failed waits for a back-off of its own; while the server is away, all wait."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._changed = threading.Condition()
        self._ready: dict[Item, None] = {}
        self._waiting: dict[Item, float] = {}
        """When each becomes ready."""
        self._processing: set[Item] = set()
        self._since: dict[Item, float] = {}
        """When each was added first since it was last done with."""
        self._backoffs: dict[Item, Backoff] = {}
        self._server = Backoff(max_s=timing.backoff_max_s)
        """Of all requests, while none can succeed."""
        self._server_asked_to_wait_until = float("-inf")
        self._shut_down = False

    def add(self, item: Item) -> None:
        with self._changed:
            self._ready[item] = None
            self._since.setdefault(item, time.monotonic())
            self._changed.notify_all()

    def add_after(self, item: Item, delay_s: float) -> None:
        with self._changed:
            due_at = time.monotonic() + delay_s
            self._waiting[item] = min(due_at, self._waiting.get(item, due_at))
            self._changed.notify_all()

    def add_rate_limited(self, item: Item, error: ApiError) -> None:
        """It failed."""
        with self._changed:
            now = time.monotonic()
            at_least_s = max(error.retry_after_s, self._timing.forbidden_s if error.status == 403 else 0.0)
            max_s = self._backoff_max_s(item)
            if error.of_all:
                self._server.max_s = max_s
                was_added = item in self._ready
                self._ready[item] = None
                self._server.failed(now, at_least_s)
                if error.retry_after_s:
                    self._server_asked_to_wait_until = self._server.due_at
                elif was_added:
                    # What is new could not be part of what has failed.
                    self._server.due_at = now
            else:
                if len(self._backoffs) >= _BACKOFFS_MAX:
                    self._backoffs.clear()
                backoff = self._backoffs.setdefault(item, Backoff(_FIRST_RETRY_S, max_s))
                backoff.failed(now, at_least_s)
                self._waiting[item] = backoff.due_at
            self._changed.notify_all()

    def forget(self, item: Item) -> None:
        """There is nothing left to do about it, but for what was added meanwhile."""
        with self._changed:
            self._backoffs.pop(item, None)
            self._since.pop(item, None)
            if item in self._ready:
                self._since[item] = time.monotonic()

    def server_answered(self) -> None:
        with self._changed:
            if self._server.failures and time.monotonic() >= self._server_asked_to_wait_until:
                self._server.reset()
                self._changed.notify_all()

    def retry_now(self) -> None:
        """There is something new, or the server is back: wait no longer, unless it asked for that."""
        with self._changed:
            now = time.monotonic()
            if now < self._server_asked_to_wait_until:
                return
            self._server.due_at = now
            for item in self._backoffs:
                if self._waiting.pop(item, None) is not None:
                    self._ready[item] = None
            self._changed.notify_all()

    @property
    def oldest_urgent_s(self) -> float:
        """For how long the oldest urgent item has been waiting; 0 where there is none."""
        with self._changed:
            since = min((at for item, at in self._since.items() if item.is_urgent), default=None)
            return 0.0 if since is None else time.monotonic() - since

    def get(self, urgent: bool) -> Item | None:
        """Wait for the next one of this kind; None after `shut_down`. Whoever takes it calls `done`."""
        with self._changed:
            while not self._shut_down:
                now = time.monotonic()
                for item in [item for item, due_at in self._waiting.items() if due_at <= now]:
                    del self._waiting[item]
                    self._ready[item] = None
                ready = [item for item in self._ready if item.is_urgent is urgent and item not in self._processing]
                if ready and self._server.due_at <= now:
                    item = min(ready, key=lambda item: item.priority)
                    del self._ready[item]
                    self._processing.add(item)
                    return item
                due_at = self._server.due_at if ready else min(self._waiting.values(), default=None)
                self._changed.wait(None if due_at is None else max(0.001, due_at - now))
            return None

    def done(self, item: Item) -> None:
        with self._changed:
            self._processing.discard(item)
            self._changed.notify_all()

    def drain(self, deadline: float) -> bool:
        """Wait until nothing is left but what is to be done later; False if it took too long."""
        with self._changed:
            while self._is_busy(now := time.monotonic()):
                if now >= deadline:
                    return False
                self._changed.wait(deadline - now)
            return True

    def _backoff_max_s(self, item: Item) -> float:
        """While a role is unwritten, less than usual."""
        urgent = item.is_urgent or any(item.is_urgent for item in self._ready)
        return self._timing.urgent_backoff_max_s if urgent else self._timing.backoff_max_s

    def _is_busy(self, now: float) -> bool:
        soon = (item in self._backoffs or due_at <= now for item, due_at in self._waiting.items())
        return bool(self._ready or self._processing) or any(soon)

    def shut_down(self) -> None:
        with self._changed:
            self._shut_down = True
            self._changed.notify_all()


Reconcile = Callable[[tuple[str, ...]], float | None]
"""Compares what is observed with what is desired, and writes the difference.

Takes an item's key. Returns the seconds after which to come again; None: when something changes. Raises: ApiError.
"""


class Worker:
    """A thread that writes. Args: urgent: roles; else what must not hold them up."""

    def __init__(self, queue: WorkQueue, reconcilers: Mapping[str, Reconcile], urgent: bool) -> None:
        self._queue = queue
        self._reconcilers = reconcilers
        self._urgent = urgent
        self._log_limiter = LogLimiter()
        self._thread = threading.Thread(target=self._run, name="roles" if urgent else "events", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while (item := self._queue.get(self._urgent)) is not None:
            try:
                requeue_after_s = self._reconcilers[item.reconciler](item.key)
            except ApiError as error:
                self._failed(item, error)
            except Exception as error:
                log(ERROR, "bug", f"unexpected, please report it: {item}: {error!r}")
                self._failed(item, ApiError("other", repr(error)))
            else:
                self._succeeded(item, is_done=requeue_after_s is None)
                if requeue_after_s is not None:
                    self._queue.add_after(item, requeue_after_s)
            finally:
                self._queue.done(item)

    def _succeeded(self, item: Item, is_done: bool) -> None:
        if is_done:
            self._queue.forget(item)
        if self._log_limiter.forget(item):
            log(INFO, "write_succeeded", f"{item}: written after all")

    def _failed(self, item: Item, error: ApiError) -> None:
        self._queue.add_rate_limited(item, error)
        if error.failure == "conflict":
            # It changed meanwhile, which is ordinary.
            return
        if self._log_limiter.due(time.monotonic(), "server" if error.of_all else item):
            level = ERROR if error.failure in ("forbidden", "unauthorized") else WARNING
            log(level, "write_failed", f"{item}: {error}", failure=error.failure)
