"""One run of a check, by its kind. None is good; a text is what was bad."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from functools import cache, partial
from urllib.parse import urlsplit

import h11

from carpsidecar import __version__
from carpsidecar.ipc.settings import Check
from carpsidecar.reporter.health.command import Command
from carpsidecar.reporter.health.lookup import Lookup

Attempt = Callable[[], Awaitable[str | None]]

_ANSWER_SIZE_MAX = 1 << 16
_READ_SIZE = 1 << 12


def attempt_for(check: Check) -> Attempt:
    """What to call for each run. A target that can't be used is bad whenever it is run."""
    if check.kind == "command":
        return Command(check.target)
    return partial(_http if check.kind == "http" else _tcp, check.target[0], Lookup())


async def _tcp(target: str, lookup: Lookup) -> str | None:
    try:
        parts = urlsplit(f"//{target}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port:
        return f"{target!r} is not host:port"
    try:
        _, writer = await _connect(lookup, host, port)
    except OSError as error:
        return f"no connection: {_in_words(error)}"
    await _hang_up(writer)
    return None


async def _http(url: str, lookup: Lookup) -> str | None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        host, port = None, 0
    if not host or parts.scheme not in ("http", "https"):
        return f"{url!r} is not an http:// or https:// URL"
    try:
        reader, writer = await _connect(lookup, host, port, tls=parts.scheme == "https")
    except ssl.SSLCertVerificationError as error:
        return f"the certificate is not trusted: {error.verify_message}"
    except OSError as error:
        return f"no connection: {_in_words(error)}"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        status = await _status(reader, writer, parts.netloc.rpartition("@")[2], target)
    except h11.ProtocolError as error:
        return f"no HTTP answer: {error}"
    except OSError as error:
        return f"the connection was lost: {_in_words(error)}"
    finally:
        await _hang_up(writer)
    return None if 200 <= status < 400 else f"status {status}"


async def _status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, target: str) -> int:
    """Send the request, and read no further than the head of the answer."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_ANSWER_SIZE_MAX)
    headers = [
        ("Host", host),
        ("User-Agent", f"carpsidecar/{__version__}"),
        ("Accept", "*/*"),
        ("Connection", "close"),
    ]
    writer.write(connection.send(h11.Request(method="GET", target=target, headers=headers)) or b"")
    await writer.drain()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ_SIZE))
        elif isinstance(event, h11.Response):
            return event.status_code
        elif isinstance(event, h11.ConnectionClosed):
            raise h11.RemoteProtocolError("the connection was closed")


async def _connect(
    lookup: Lookup, host: str, port: int, tls: bool = False
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """To the first of the name's addresses that takes the connection.

    Raises:
        OSError: none does.
    """
    failure: OSError | None = None
    for address in await lookup.addresses(host):
        try:
            return await asyncio.open_connection(
                address,
                port,
                ssl=_verifying() if tls else None,
                server_hostname=host if tls else None,
                limit=_ANSWER_SIZE_MAX,
            )
        except OSError as error:
            failure = failure or error
    raise failure or OSError(f"{host} has no address")


@cache
def _verifying() -> ssl.SSLContext:
    return ssl.create_default_context()


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    # Not closed in order: an answer that nobody reads, or a peer that is silent, would keep the connection.
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def _in_words(error: OSError) -> str:
    """asyncio puts the address into the text, and forgets what the number means."""
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return error.strerror or str(error) or type(error).__name__
