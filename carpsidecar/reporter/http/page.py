"""The page for people: one file, that a browser may load nothing else for."""

import re
from base64 import b64encode
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files

from carpsidecar.reporter.http.answer import HTML, Answer

_HTML = (files(__package__) / "page.html").read_bytes()
"""Read while this process still may: its user may not be let into the folder."""


def page() -> Answer:
    """Its content policy names the file's own script and style by their digests, and lets in nothing else."""
    html = _HTML
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_digest(html, b'script')}",
            f"style-src {_digest(html, b'style')}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
    return Answer(HTTPStatus.OK, html, HTML, policy)


def _digest(html: bytes, element: bytes) -> str:
    (content,) = re.findall(b"<%b>(.*?)</%b>" % (element, element), html, re.DOTALL)
    return f"'sha256-{b64encode(sha256(content).digest()).decode()}'"
