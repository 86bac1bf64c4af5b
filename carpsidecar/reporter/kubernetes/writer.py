"""The one thread that writes. It asks its sources, the most urgent first, for what is to be done now.

So nothing waits in a queue that could be out of date: each write is made of the newest that is known. Sources are
asked, and told what became of it, with the reporter's lock held; requests are made without it.
"""

import threading
import time
from collections.abc import Callable, Sequence
from logging import ERROR, INFO, WARNING
from typing import Protocol, runtime_checkable

from carpsidecar.logs import log
from carpsidecar.reporter.kubernetes.client import ApiError, Timing
from carpsidecar.reporter.kubernetes.retry import Backoff, Once

_KEYS_MAX = 4096
_FIRST_AGAIN_S = 0.05
_AFTER_INTERNAL_ERROR_S = 5.0

Done = Callable[[], ApiError | None]
"""Takes note of an answer, with the lock held; returns what went wrong all the same."""


@runtime_checkable
class Job(Protocol):
    """`key` names what it is about, for people; one that failed waits alone, unless all would fail."""

    @property
    def key(self) -> str: ...

    def run(self) -> Done:
        """Do it, without the lock. Raises: ApiError."""


class Source(Protocol):
    def next(self, now: float, blocked: Callable[[str], float]) -> Job | float | None:
        """A job for now; or the time of the next one; None where there is nothing to do.

        Args:
            blocked: when a key may be tried again; in the past if it may now.
        """


class Writer:
    """Args: lock: the reporter's; notified when a source may have something to do."""

    def __init__(self, lock: threading.Condition, sources: Sequence[Source], timing: Timing) -> None:
        self._lock = lock
        self._sources = sources
        self._timing = timing
        self._all = Backoff(max_s=timing.backoff_max_s)
        self._backoffs: dict[str, Backoff] = {}
        self._once = Once()
        self._asked_to_wait_until = float("-inf")
        self._news = False
        """Whether there was any since the job under way was made."""
        self._busy = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def try_now(self) -> None:
        """Something new is to be said, or the server answers again: wait no longer, unless it asked for that."""
        now = time.monotonic()
        self._news = True
        if now >= self._asked_to_wait_until:
            self._all.due_at = now
            for backoff in self._backoffs.values():
                backoff.due_at = now
        self._lock.notify_all()

    def drain(self, deadline: float) -> bool:
        """Wait, with the lock held, until there is nothing more to be done at once; False if it took too long."""
        while (left_s := deadline - time.monotonic()) > 0:
            now = time.monotonic()
            idle = not self._busy and not isinstance(self._next(now), Job)
            if idle and not any(backoff.due_at > now for backoff in (self._all, *self._backoffs.values())):
                return True
            self._lock.wait(min(left_s, 0.05))
        return False

    def stop(self) -> None:
        """Called with the lock held."""
        self._stopping = True
        self._lock.notify_all()

    def join(self, timeout_s: float) -> None:
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while (job := self._take()) is not None:
            try:
                done = job.run()
                with self._lock:
                    failure = done()
            except ApiError as error:
                failure = error
            except Exception as error:
                log(ERROR, "bug", f"unexpected, please report it: {job.key}: {error!r}")
                failure = ApiError("other", repr(error))
            with self._lock:
                if failure is None:
                    self._succeeded(job.key)
                else:
                    self._failed(job.key, failure)

    def _take(self) -> Job | None:
        """The next job, as soon as there is one; None at the end."""
        with self._lock:
            self._busy = False
            self._lock.notify_all()
            while not self._stopping:
                try:
                    found = self._next(time.monotonic())
                except Exception as error:
                    log(ERROR, "bug", f"unexpected, please report it: nothing can be written: {error!r}")
                    found = time.monotonic() + _AFTER_INTERNAL_ERROR_S
                if found is not None and not isinstance(found, float):
                    self._busy, self._news = True, False
                    return found
                self._lock.wait(None if found is None else max(0.001, found - time.monotonic()))
            return None

    def _next(self, now: float) -> Job | float | None:
        due: float | None = None
        for source in self._sources:
            found = source.next(now, self._due_at)
            if found is None:
                continue
            if isinstance(found, float):
                due = found if due is None else min(due, found)
            elif self._all.due_at > now:
                return self._all.due_at
            else:
                return found
        return due

    def _due_at(self, key: str) -> float:
        backoff = self._backoffs.get(key)
        return float("-inf") if backoff is None else backoff.due_at

    def _succeeded(self, key: str) -> None:
        self._backoffs.pop(key, None)
        if self._all.failures:
            self._all.reset()
            if self._once.forget("all"):
                log(INFO, "api_back", "the API server takes writes again")
        if self._once.forget(key):
            log(INFO, "write_succeeded", f"{key}: written after all")

    def _failed(self, key: str, error: ApiError) -> None:
        now = time.monotonic()
        if error.of_all:
            thing, backoff = "all", self._all
        else:
            if len(self._backoffs) >= _KEYS_MAX:
                self._backoffs.clear()
            thing = key
            backoff = self._backoffs.setdefault(key, Backoff(_FIRST_AGAIN_S, self._timing.backoff_max_s))
        backoff.failed(now, max(error.retry_after_s, self._timing.forbidden_s if error.status == 403 else 0.0))
        if error.of_all and error.retry_after_s:
            self._asked_to_wait_until = backoff.due_at
        elif self._news:
            # It could not be part of what has failed.
            backoff.due_at = now
        if error.failure == "conflict":
            # It changed meanwhile, which is no news.
            return
        self._once.say(now, thing, lambda: self._say(key, error))

    def _say(self, key: str, error: ApiError) -> None:
        level = ERROR if error.failure in ("forbidden", "unauthorized") else WARNING
        log(level, "write_failed", f"{key}: {error}", failure=error.failure)
