"""One client's connection: h11 reads and writes HTTP, and here is what keeps a client from holding or filling us.

A client has so long for the head of a request, and so long to take the answer; a trickle prolongs neither. One
request is answered at a time, one for each turn of the loop, and nothing more is read while its answer waits to be
sent: so what a connection costs has a bound. Request bodies are not taken.
"""

import asyncio
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from logging import ERROR
from typing import cast
from urllib.parse import urlsplit

import h11

from carpsidecar.logs import log
from carpsidecar.reporter.http.answer import Answer, Request, in_text

HEAD_SIZE_MAX = 8192
REQUEST_TIME_S = 5.0
"""From the first byte of a request to the end of its head; and from the connection to that byte."""
ANSWER_TIME_S = 10.0
IDLE_TIME_S = 75.0
"""Between two requests: longer than most intervals at which metrics are fetched."""
_FAREWELL_TIME_S = 1.0
"""For the client to read why we hang up, before it learns that what else it sends is not taken."""

_SECURITY = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)


class Connection(asyncio.Protocol):
    """
    Args:
        handle: answers a request.
        opened, closed: called with this connection.
    """

    def __init__(
        self,
        handle: Callable[[Request], Answer],
        opened: Callable[["Connection"], None],
        closed: Callable[["Connection"], None],
    ) -> None:
        self._handle = handle
        self._opened = opened
        self._closed = closed
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_SIZE_MAX)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._sending = False
        self._leaving = False
        self._client_left = False
        self._idle = True

    def abort(self) -> None:
        self._transport.abort()

    # What happens to it.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # So that we learn whenever the client does not take at once what it is sent.
        self._transport.set_write_buffer_limits(high=0)
        self._wait(REQUEST_TIME_S, self.abort)
        self._opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._closed(self)

    def data_received(self, data: bytes) -> None:
        if self._leaving:
            return
        if self._idle:
            self._idle = False
            self._wait(REQUEST_TIME_S, self._too_slow)
        self._http.receive_data(data)
        self._read_request()

    def eof_received(self) -> bool:
        """The client sends no more, but may still be taking its answer: True keeps the connection for that."""
        self._client_left = True
        return self._sending

    def pause_writing(self) -> None:
        self._sending = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._sending = False
        if self._client_left:
            self._transport.close()
        elif not self._leaving:
            self._next()

    # What it does.

    def _read_request(self) -> None:
        try:
            event = self._http.next_event()
            if isinstance(event, h11.Request):
                self._received(event)
        except h11.RemoteProtocolError as error:
            self._refuse(HTTPStatus(error.error_status_hint), f"this can't be read as HTTP: {error}")

    def _received(self, request: h11.Request) -> None:
        if request.method not in (b"GET", b"HEAD"):
            answer = in_text(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are answered here")
            self._send(Answer(answer.status, answer.body, allow="GET, HEAD"), last=True)
        elif not isinstance(self._http.next_event(), h11.EndOfMessage):
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "a request with a body is not taken")
        else:
            self._send(self._answer(request), without_body=request.method == b"HEAD")

    def _answer(self, request: h11.Request) -> Answer:
        try:
            target = urlsplit(request.target.decode("ascii"))
        except ValueError:
            return in_text(HTTPStatus.BAD_REQUEST, "this path can't be read")
        host = next((value.decode("latin-1") for name, value in request.headers if name == b"host"), None)
        try:
            return self._handle(Request(host, target.path, target.query))
        except Exception as error:
            log(ERROR, "bug", f"unexpected, please report it: HTTP {target.path}: {error!r}")
            return in_text(HTTPStatus.INTERNAL_SERVER_ERROR, "unexpected: see the log")

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._send(in_text(status, why), last=True)

    def _too_slow(self) -> None:
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"no whole request in {REQUEST_TIME_S:g} s")

    def _send(self, answer: Answer, *, last: bool = False, without_body: bool = False) -> None:
        headers = [
            ("Date", formatdate(usegmt=True)),
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            ("Content-Security-Policy", answer.content_policy),
            *_SECURITY,
            *((("Allow", answer.allow),) if answer.allow else ()),
            *((("Connection", "close"),) if last else ()),
        ]
        self._wait(ANSWER_TIME_S, self.abort)
        parts = [
            self._http.send(h11.Response(status_code=answer.status, reason=answer.status.phrase, headers=headers)),
            None if without_body else self._http.send(h11.Data(data=answer.body)),
            self._http.send(h11.EndOfMessage()),
        ]
        self._leaving = self._http.our_state is not h11.DONE
        self._transport.write(b"".join(part for part in parts if part))
        if self._leaving:
            self._leave()
        elif not self._sending:
            # Not at once, so that many requests in one packet can't keep the loop.
            self._transport.pause_reading()
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        """The answer is out: go on with what has come meanwhile, or wait."""
        if self._transport.is_closing():
            return
        self._http.start_next_cycle()
        self._transport.resume_reading()
        self._idle = not self._http.trailing_data[0]
        if self._idle:
            self._wait(IDLE_TIME_S, self.abort)
        else:
            self._wait(REQUEST_TIME_S, self._too_slow)
            self._read_request()

    def _leave(self) -> None:
        """Hang up; but closed with something unread, the client would see that instead of our answer."""
        if not self._sending:
            self._wait(_FAREWELL_TIME_S, self.abort)
        self._transport.resume_reading()
        self._transport.write_eof()

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, then)
