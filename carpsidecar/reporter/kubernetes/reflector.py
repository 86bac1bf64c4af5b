"""The reflector: lists objects, page by page, then watches them from there on, for as long as it takes."""

import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from logging import ERROR
from typing import Generic, Protocol, TypeVar

from carpsidecar.logs import log
from carpsidecar.reporter.kubernetes.client import Api, ApiError, Request, Stream, Timing
from carpsidecar.reporter.kubernetes.objects import (
    BadObject,
    WatchEvent,
    read_event,
    read_page,
    read_status,
    version_of,
)
from carpsidecar.reporter.kubernetes.ratelimit import Backoff
from carpsidecar.reporter.kubernetes.rbac import Rule

PAGE_SIZE = 50
_GOOD_AFTER_S = 1.0
"""A watch that lived so long was no failure to start one."""
GONE = 410

T = TypeVar("T")
_T_contra = TypeVar("_T_contra", contravariant=True)


class Handler(Protocol[_T_contra]):
    """Called in the reflector's thread."""

    def listed(self, objects: Iterable[_T_contra]) -> None:
        """All that there are, now and after each gap."""

    def changed(self, one: _T_contra) -> None: ...

    def deleted(self, one: _T_contra) -> None:
        """It is gone, or is not selected any more."""

    def failed(self, error: ApiError) -> None:
        """It is tried again later."""


class Reflector(Generic[T]):
    """A thread that keeps its handler up to date with one selection.

    Args:
        query: labelSelector and fieldSelector; the handler may replace it, from the next list on.
        decode: makes what is kept of the JSON; raises BadObject.
    """

    def __init__(
        self,
        api: Api,
        path: str,
        rules: tuple[Rule, Rule],
        query: Mapping[str, str],
        decode: Callable[[bytes], T],
        handler: Handler[T],
        timing: Timing,
    ) -> None:
        self._api = api
        self._path = path
        self._list_rule, self._watch_rule = rules
        self.query = query
        self._decode = decode
        self._handler = handler
        self._timing = timing
        self._backoff = Backoff(max_s=timing.backoff_max_s)
        self._version = ""
        self._stopping = threading.Event()
        self._woken = threading.Event()
        """No more waiting: it is to stop, or to watch anew."""
        self._stream: Stream | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch {path}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end; it may take a moment."""
        self._stopping.set()
        self.renew()

    def renew(self) -> None:
        """Watch anew, and at once: what was lost while the network was away comes again only after a while."""
        self._woken.set()
        stream = self._stream
        if stream is not None:
            stream.close()

    def join(self, timeout_s: float) -> None:
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            self._woken.clear()
            if self._stopping.is_set():
                return
            try:
                if not self._version:
                    self._version = self._list()
                self._watch()
            except ApiError as error:
                if 400 <= error.status < 500 and error.status not in (401, 429):
                    self._version = ""
                self._wait_after(error)
            except BadObject as error:
                self._version = ""
                self._wait_after(ApiError("other", f"{self._watch_rule}: {error}"))
            except Exception as error:
                log(ERROR, "bug", f"unexpected, please report it: {self._watch_rule}: {error!r}")
                self._version = ""
                self._wait_after(ApiError("other", repr(error)))

    def _wait_after(self, error: ApiError) -> None:
        if self._stopping.is_set():
            return
        # That the version is too old is no failure: what there is now is listed.
        if error.status != GONE:
            self._handler.failed(error)
        self._woken.wait(self._backoff.failed(time.monotonic(), error.retry_after_s))

    def _list(self) -> str:
        """What there is, and the version from which to watch. Raises: ApiError, BadObject."""
        found: list[T] = []
        more = ""
        while True:
            query = {**self.query, "limit": str(PAGE_SIZE)}
            if more:
                query["continue"] = more
            page = read_page(self._api.call(Request("GET", self._path, self._list_rule, query)))
            found += [self._decode(item) for item in page.items]
            more = page.more
            if not more:
                break
        self._handler.listed(found)
        return page.version

    def _watch(self) -> None:
        """Follow until the server ends it. Raises: ApiError, BadObject."""
        lifetime_s = max(1, round(self._timing.watch_s * random.uniform(0.8, 1.0)))  # noqa: S311
        query = {
            **self.query,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(lifetime_s),
            "resourceVersion": self._version,
        }
        started = time.monotonic()
        request = Request("GET", self._path, self._watch_rule, query)
        stream = self._stream = self._api.stream(request, lifetime_s + self._timing.watch_grace_s)
        try:
            if self._woken.is_set():
                stream.close()
            for line in stream.lines():
                self._handle(read_event(line))
        finally:
            self._stream = None
            lived_s = time.monotonic() - started
            if lived_s >= _GOOD_AFTER_S:
                self._backoff.reset()
        if lived_s < min(_GOOD_AFTER_S, lifetime_s / 2) and not self._woken.is_set():
            raise ApiError("unreachable", f"{self._watch_rule}: the connection was closed at once")

    def _handle(self, event: WatchEvent) -> None:
        if event.kind == "ERROR":
            code, message = read_status(event.object)
            raise ApiError("other", f"{self._watch_rule}: {message}", code or GONE)
        if event.kind == "DELETED":
            self._handler.deleted(self._decode(event.object))
        elif event.kind in ("ADDED", "MODIFIED"):
            self._handler.changed(self._decode(event.object))
        self._version = version_of(event.object) or self._version
