"""A client of the control sockets of this machine."""

import socket
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct, field

from carpsidecar.ipc import paths
from carpsidecar.status.model import Unreachable
from carpsidecar.status.requests import ANSWER_SIZE_MAX, Answer, Request

STATUS_TIME_S = 2.0
COMMAND_TIME_S = 10.0
_CHUNK = 1 << 16

_answers: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


class NoEngine(Exception):
    """No engine replies: one line that says where it was looked for, and what to do."""

    def __init__(self, text: str, unreachable: Sequence[Unreachable] = ()) -> None:
        super().__init__(text)
        self.unreachable = list(unreachable)


class NoReply(Exception):
    """Why one socket gives no answer."""


class Reply(Struct, frozen=True):
    socket: Path
    answer: Answer


class Replies(Struct, frozen=True):
    replies: list[Reply] = field(default_factory=list)
    unreachable: list[Unreachable] = field(default_factory=list)


def send(request: Request, control: Path | None) -> Replies:
    """Send the request to this socket, or to all there are.

    Raises:
        NoEngine: there is none, or none may be spoken to, or none answers.
    """
    replies = Replies()
    timeout_s = STATUS_TIME_S if request.type in ("status", "configuration") else COMMAND_TIME_S
    for path in _sockets(control):
        try:
            replies.replies.append(_send(path, request, timeout_s))
        except NoReply as error:
            replies.unreachable.append(Unreachable(socket=str(path), why=str(error)))
    if not replies.replies:
        raise NoEngine(_no_engine(control, replies.unreachable), replies.unreachable)
    return replies


def _sockets(control: Path | None) -> list[Path]:
    if control is not None:
        return [control]
    try:
        return paths.sockets()
    except OSError as error:
        raise NoEngine(
            f"{error.filename} can't be read ({error.strerror}): ask as root, or as a member of its group"
        ) from None


def _no_engine(control: Path | None, unreachable: list[Unreachable]) -> str:
    where = str(control or paths.runtime_directory())
    why = f" ({unreachable[0].why})" if unreachable else ""
    if any("denied" in one.why for one in unreachable):
        return f"no engine answers in {where}{why}: ask as root, or as a member of the socket's group"
    return (
        f"no engine answers in {where}{why}: is `carpsidecar run` running?"
        " `carpsidecar ucarp` has no control socket: send it USR1 or USR2"
    )


def _send(path: Path, request: Request, timeout_s: float) -> Reply:
    """Raises: NoReply."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(path))
            connection.sendall(msgspec.json.encode(request) + b"\n")
            answer = _answers.decode(_read(connection))
        except TimeoutError:
            raise NoReply(f"no answer within {timeout_s:g} s") from None
        except ConnectionRefusedError:
            raise NoReply("no process listens there any more") from None
        except OSError as error:
            # Python's own words for a path that is too long have no number.
            raise NoReply(error.strerror or str(error)) from None
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise NoReply("the answer can't be read: is it of another version?") from None
    return Reply(path, answer)


def _read(connection: socket.socket) -> bytes:
    """Raises: NoReply, OSError."""
    answer = bytearray()
    while chunk := connection.recv(_CHUNK):
        answer += chunk
        if len(answer) > ANSWER_SIZE_MAX:
            raise NoReply("the answer has no end")
    if not answer:
        raise NoReply("it hung up without an answer")
    return bytes(answer)
