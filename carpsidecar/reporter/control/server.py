"""The socket itself: who may speak, how much, and for how long.

Who may is the kernel's decision, by the file's mode: connect() needs the right to write to the socket (unix(7)),
and that have its owner, its group, and root. It is made with that mode, in a folder that others can't enter. The
peer's credentials, which the kernel notes at connect(), are only read for the log.
"""

import asyncio
import pwd
import socket
import sys
from logging import ERROR, INFO
from typing import Any

import msgspec

from carpsidecar.ipc.credentials import peer_of
from carpsidecar.logs import log
from carpsidecar.reporter.control.commands import Commands
from carpsidecar.reporter.control.status import FreshStatus
from carpsidecar.status.requests import REQUEST_SIZE_MAX, Answer, Configured, Refused, Request
from carpsidecar.status.state import State

CONNECTIONS_MAX = 16
REQUEST_TIME_S = 2.0
ANSWER_TIME_S = 5.0
"""For the client to take it."""
_KEEP_THE_SOCKET: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
"""It is the engine's, for the next reporter too."""

_requests = msgspec.json.Decoder(Request)


class ControlServer:
    """Serves on a socket that listens, in the running loop."""

    def __init__(self, listening: socket.socket, state: State, status: FreshStatus, commands: Commands) -> None:
        self._listening = listening
        self._state = state
        self._groups = state.groups
        self._status = status
        self._commands = commands
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(
            self._connected, sock=self._listening, limit=REQUEST_SIZE_MAX, **_KEEP_THE_SOCKET
        )

    async def close(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            if len(self._serving) >= CONNECTIONS_MAX:
                await _send(writer, Refused(text=f"{CONNECTIONS_MAX} others are being served: try again"))
                return
            self._serving.add(task)
            await _send(writer, await self._answer(reader, writer))
        except (OSError, TimeoutError):
            pass  # the client has left, or does not take its answer
        finally:
            self._serving.discard(task)
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answer:
        try:
            line = await asyncio.wait_for(reader.readuntil(b"\n"), REQUEST_TIME_S)
            request = _requests.decode(line)
        except TimeoutError:
            return Refused(text=f"no request came within {REQUEST_TIME_S:g} s: send one JSON line")
        except asyncio.LimitOverrunError:
            return Refused(text=f"the request is longer than {REQUEST_SIZE_MAX} bytes")
        except asyncio.IncompleteReadError:
            return Refused(text="the request has no end: send one JSON line")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return Refused(text=f"this is no request: {error}")
        try:
            if request.group is not None and request.group not in self._groups:
                return Refused(text=f"no group is called {request.group!r}", groups=list(self._groups))
            if request.type == "status":
                return await self._status.make(request.group)
            if request.type == "configuration":
                return Configured(document=self._state.configuration)
            return await self._command(request, writer)
        except Exception as error:
            log(ERROR, "bug", f"unexpected, please report it: control {request.type}: {error!r}")
            return Refused(text="unexpected: see the log")

    async def _command(self, request: Request, writer: asyncio.StreamWriter) -> Answer:
        assert request.type not in ("status", "configuration")
        pid, uid = peer_of(writer.get_extra_info("socket"))
        user = _name_of(uid)
        why = f": {request.reason}" if request.reason else ""
        log(
            INFO,
            "command",
            f"{request.type} requested by {user or f'uid {uid}'}{why}",
            command=request.type,
            group=request.group,
            reason=request.reason,
            uid=uid,
            user=user,
            pid=pid,
        )
        answer = await self._commands.follow(request)
        if isinstance(answer, Refused):
            log(INFO, "command_refused", f"{request.type}: {answer.text}", command=request.type, uid=uid)
        else:
            for result in answer.results:
                if not result.done:
                    text = f"{request.type}: {result.text}"
                    log(INFO, "command_failed", text, command=request.type, group=result.group, uid=uid)
        return answer


async def _send(writer: asyncio.StreamWriter, answer: Answer) -> None:
    """Raises: OSError, TimeoutError: it was not taken."""
    writer.transport.set_write_buffer_limits(high=0)
    writer.write(msgspec.json.encode(answer) + b"\n")
    await asyncio.wait_for(writer.drain(), ANSWER_TIME_S)


def _name_of(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None
