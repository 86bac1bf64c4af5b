"""The way to the API server: requests and answers in plain JSON, over connections that are kept open."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from logging import DEBUG
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import urllib3
from msgspec import Struct, field
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError, NewConnectionError, SSLError
from urllib3.exceptions import TimeoutError as HTTPTimeoutError

from carpsidecar.logs import log
from carpsidecar.reporter.kubernetes.credentials import SERVICE_ACCOUNT, Access, access
from carpsidecar.reporter.kubernetes.objects import read_status
from carpsidecar.reporter.kubernetes.rbac import Rule
from carpsidecar.status.stats import ApiFailure, ApiStats

STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
MERGE_PATCH = "application/merge-patch+json"
_ANSWER_MAX = 32 << 20
_REFUSAL_MAX = 1 << 16
_LINE_MAX = 8 << 20
_AWAY = (502, 503, 504)
"""A proxy or a server that says that there is nobody to answer."""
_FAILURES: Mapping[int, ApiFailure] = {
    401: "unauthorized",
    403: "forbidden",
    408: "timeout",
    409: "conflict",
    429: "throttled",
    504: "timeout",
}


class Timing(Struct, frozen=True):
    """Seconds."""

    connect_s: float = 3.0
    answer_s: float = 5.0
    """For a whole answer."""
    watch_s: float = 120.0
    """The server ends a watch after this; one that ends later than that hangs."""
    watch_grace_s: float = 10.0
    backoff_max_s: float = 30.0
    forbidden_s: float = 10.0
    """How long to wait at least for somebody to add a right."""
    handover_s: float = 0.1
    """A master that hands over takes its label off itself within this time."""
    yield_s: float = 0.06
    """Of two backups that took over at once one has yielded within this time, on the wire."""
    settle_s: float = 1.0
    """One that was marked as lost may need this long to learn that it is no master any more."""
    urgent_answer_s: float = 1.0
    """For the answer to a write of a role: a hung request is given up for a new one."""
    urgent_backoff_max_s: float = 5.0
    """While a role is unwritten."""


class ApiError(Exception):
    """A request that was not answered, or refused.

    `status` is HTTP's, 0 where there was no answer; `retry_after_s` what the server asks for, 0 where it does not;
    `verb` what was tried.
    """

    def __init__(
        self, failure: ApiFailure, text: str, status: int = 0, retry_after_s: float = 0.0, verb: str = ""
    ) -> None:
        super().__init__(text)
        self.verb = verb
        self.failure = failure
        self.status = status
        self.retry_after_s = retry_after_s

    @property
    def of_all(self) -> bool:
        """Whether another request would fare no better now."""
        return self.failure in ("unreachable", "timeout", "unauthorized", "throttled") or self.status in _AWAY


class Request(Struct, frozen=True):
    """`rule` is what RBAC must allow for it."""

    method: str
    path: str
    rule: Rule
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    content_type: str = "application/json"


class Api:
    """Sends requests, from any thread, and counts what becomes of them.

    Args:
        kubeconfig: a file; empty: the pod's service account.
        answered: called, in any thread, when the server answers; with whether it did not before.
    """

    def __init__(
        self,
        kubeconfig: str,
        stats: ApiStats,
        timing: Timing,
        answered: Callable[[bool], None] = lambda back: None,
        service_account: Path = SERVICE_ACCOUNT,
    ) -> None:
        self._kubeconfig = kubeconfig
        self._service_account = service_account
        self._stats = stats
        self._timing = timing
        self._on_answer = answered
        self._lock = threading.Lock()
        self._access: Access | None = None
        # Its warnings are about what is counted and logged here.
        logging.getLogger("urllib3").setLevel(logging.CRITICAL)

    def call(self, request: Request, within_s: float | None = None) -> bytes:
        """The whole answer; `within_s` where another time than usual is given. Raises: ApiError."""
        began_at, outcome = time.monotonic(), "failed"
        try:
            answer = self._call(request, within_s)
            outcome = "answered"
        finally:
            took_ms = round(1000 * (time.monotonic() - began_at))
            text = f"{request.method} {request.path}: {outcome} after {took_ms} ms"
            log(DEBUG, "api_request", text, verb=request.rule.verb, took_ms=took_ms)
        return answer

    def _call(self, request: Request, within_s: float | None) -> bytes:
        """Raises: ApiError."""
        connect_s = self._timing.connect_s if within_s is None else self._timing.urgent_answer_s
        within_s = within_s or self._timing.answer_s
        response = self._send(request, within_s, connect_s)
        deadline = time.monotonic() + within_s
        answer = bytearray()
        try:
            for chunk in response.stream(1 << 16, decode_content=True):
                answer += chunk
                if len(answer) > _ANSWER_MAX:
                    raise self._failed(ApiError("other", f"{request.rule}: an answer of over {_ANSWER_MAX} bytes"))
                if time.monotonic() > deadline:
                    raise self._failed(ApiError("timeout", f"{request.rule}: the answer does not end"))
        except (HTTPError, OSError) as error:
            response.close()
            raise self._failed(_unanswered(request, error)) from None
        except ApiError:
            response.close()
            raise
        return bytes(answer)

    def stream(self, request: Request, silence_max_s: float) -> "Stream":
        """An answer without an end, line by line. Raises: ApiError."""
        return Stream(request, self._send(request, silence_max_s, self._timing.connect_s), self._failed)

    def close(self) -> None:
        with self._lock:
            before, self._access = self._access, None
        if before is not None:
            before.connections.clear()

    def _send(self, request: Request, silence_max_s: float, connect_s: float) -> BaseHTTPResponse:
        try:
            return self._send_once(request, silence_max_s, connect_s)
        except ApiError as error:
            if error.failure != "unauthorized" or not error.status:
                raise
            # A token that was rotated meanwhile.
            self._forget_credentials()
            return self._send_once(request, silence_max_s, connect_s)

    def _send_once(self, request: Request, silence_max_s: float, connect_s: float) -> BaseHTTPResponse:
        headers = {"Accept": "application/json", "User-Agent": "carpsidecar"}
        body = None
        if request.body is not None:
            headers["Content-Type"] = request.content_type
            body = msgspec.json.encode(request.body)
        try:
            url, connections, authorization = self._connected()
            if who := authorization():
                headers["Authorization"] = who
            # Who asks knows better when to ask again.
            response = connections.request(
                request.method,
                f"{url}{request.path}?{urlencode(request.query)}".rstrip("?"),
                headers=headers,
                body=body,
                timeout=urllib3.Timeout(connect=min(connect_s, silence_max_s), read=silence_max_s),
                preload_content=False,
                redirect=False,
                retries=False,
            )
        except SSLError as error:
            # The server's certificate may be of an authority that has changed meanwhile.
            self._forget_credentials()
            raise self._failed(ApiError("unreachable", f"{request.rule}: TLS: {_one_line(error)}")) from None
        except HTTPError as error:
            raise self._failed(_unanswered(request, error)) from None
        except (OSError, ValueError, TypeError, LookupError) as error:
            raise self._failed(_without_credentials(error)) from None
        if 200 <= response.status < 300:
            self._answered()
            return response
        raise self._failed(_refused(request, response))

    def _connected(self) -> Access:
        with self._lock:
            if self._access is None:
                self._access = access(self._kubeconfig, self._service_account, self._timing.answer_s)
            return self._access

    def _forget_credentials(self) -> None:
        """Read them again for the next request; what is under way goes on as it is."""
        with self._lock:
            self._access = None

    def _answered(self) -> None:
        with self._lock:
            back = not self._stats.reachable
            self._stats.answered(True)
        self._on_answer(back)

    def _failed(self, error: ApiError) -> ApiError:
        with self._lock:
            self._stats.failures[error.failure] += 1
            self._stats.answered(error.status > 0 and error.status not in _AWAY)
        return error


class Stream:
    """The lines of an answer; `close` may be called from another thread, and ends them."""

    def __init__(
        self, request: Request, response: BaseHTTPResponse, failed: Callable[[ApiError], ApiError]
    ) -> None:
        self._request = request
        self._response = response
        self._failed = failed
        self._closed = False

    def lines(self) -> Iterator[bytes]:
        """Until the server ends it or `close` does. Raises: ApiError."""
        rest = b""
        try:
            for chunk in self._response.stream(None, decode_content=False):
                if self._closed:
                    # It may be cut off anywhere, also within a number of HTTP's own.
                    return
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (line for line in lines if line)
                if len(rest) > _LINE_MAX:
                    raise self._failed(ApiError("other", f"{self._request.rule}: a line of over {_LINE_MAX} bytes"))
        except (HTTPError, OSError, AttributeError, ValueError) as error:
            # Closed from another thread, it may also miss what it has closed.
            if not self._closed:
                raise self._failed(_unanswered(self._request, error)) from None
        finally:
            self._response.close()

    def close(self) -> None:
        self._closed = True
        try:
            self._response.shutdown()
        except (OSError, ValueError, RuntimeError):
            self._response.close()


def _refused(request: Request, response: BaseHTTPResponse) -> ApiError:
    status = int(response.status)
    try:
        _, message = read_status(response.read(_REFUSAL_MAX, decode_content=True))
    except (HTTPError, OSError):
        message = ""
    text = f"{request.rule}: HTTP {status}: {_one_line(message or response.reason)}"
    if status == 403 and (not message or " cannot " in message):
        text = f"not allowed to {request.rule}: {request.rule.advice}"
    failure = _FAILURES.get(status) or ("server" if status >= 500 else "other")
    return ApiError(failure, text, status, _retry_after_s(response.headers.get("Retry-After")), request.rule.verb)


def _retry_after_s(header: str | None) -> float:
    """Only the number of seconds, which is what an API server gives."""
    return float(header) if header and header.isascii() and header.isdecimal() else 0.0


def _unanswered(request: Request, error: Exception) -> ApiError:
    # One that is refused counts as one that timed out with urllib3.
    if isinstance(error, HTTPTimeoutError | TimeoutError) and not isinstance(error, NewConnectionError):
        return ApiError("timeout", f"{request.rule}: no answer in time")
    # urllib3 puts the connection, as Python shows objects, before the text.
    text = str(error).rpartition(">: ")[2] or str(error)
    return ApiError("unreachable", f"{request.rule}: {_one_line(text) or type(error).__name__}")


def _without_credentials(error: Exception) -> ApiError:
    return ApiError(
        "unauthorized",
        f"no way to the API server: {_one_line(str(error)) or type(error).__name__}: run it in a pod with a service"
        " account, or give a kubeconfig",
    )


def _one_line(text: object) -> str:
    return " ".join(str(text or "").split())[:500]
