"""The addresses of a name. The system's resolver can't be interrupted: one question at a time waits in a thread."""

import asyncio
import ipaddress
import socket


class Lookup:
    """Resolves again each time, but not while an answer is still awaited."""

    def __init__(self) -> None:
        self._asking: asyncio.Future[list[str]] | None = None

    async def addresses(self, host: str) -> list[str]:
        """In the order in which they are to be tried.

        Raises:
            OSError: the name can't be resolved.
        """
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            pass
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(_ask(host))
        # Whoever gives up waiting leaves the query to the next run.
        return await asyncio.shield(self._asking)


async def _ask(host: str) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError(f"{host!r} is not a host name") from None
    return list(dict.fromkeys(str(address[4][0]) for address in found))
