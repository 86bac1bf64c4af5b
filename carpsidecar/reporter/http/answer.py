"""Requests and answers, as the parts of the server hand them to each other."""

from http import HTTPStatus

from msgspec import Struct

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
HTML = "text/html; charset=utf-8"


class Request(Struct, frozen=True):
    """A GET, or the GET that a HEAD stands for."""

    host: str | None
    """The Host header, with the port if it has one."""
    path: str
    query: str


class Answer(Struct, frozen=True):
    status: HTTPStatus
    body: bytes
    content_type: str = TEXT
    content_policy: str = "default-src 'none'; frame-ancestors 'none'"
    """What a browser may load and run for it: Content-Security-Policy."""
    allow: str = ""
    """The methods that there are, where the request's is not one of them."""


def in_text(status: HTTPStatus, *lines: str) -> Answer:
    return Answer(status, "".join(f"{line}\n" for line in lines).encode(errors="replace"))
