"""Asking the control sockets of this machine."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from carpsidecar.status import paths
from carpsidecar.status.credentials import peer_of
from carpsidecar.status.model import Unreachable
from carpsidecar.status.requests import ANSWER_SIZE_MAX, Answer, Request

STATUS_TIME_S = 2.0
COMMAND_TIME_S = 10.0
_CHUNK = 1 << 16

_answers: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


class NobodyAnswers(Exception):
    """One line that says where somebody was looked for, and what to do."""

    def __init__(self, text: str, unreachable: Sequence[Unreachable] = ()) -> None:
        super().__init__(text)
        self.unreachable = list(unreachable)


class CannotAsk(Exception):
    """Why one socket gives no answer."""


@dataclass(frozen=True)
class Heard:
    """An answer. `pid` is the reporter's process, as this process namespace counts it; 0: it is not in it."""

    socket: Path
    answer: Answer
    pid: int


@dataclass(frozen=True)
class Asked:
    heard: list[Heard] = field(default_factory=list)
    unreachable: list[Unreachable] = field(default_factory=list)


def ask(request: Request, control: Path | None) -> Asked:
    """Put the request to this socket, or to all there are.

    Raises:
        NobodyAnswers: there is none, or none may be spoken to, or none answers.
    """
    asked = Asked()
    timeout_s = STATUS_TIME_S if request.type == "status" else COMMAND_TIME_S
    for path in _sockets(control):
        try:
            asked.heard.append(_ask(path, request, timeout_s))
        except CannotAsk as error:
            asked.unreachable.append(Unreachable(socket=str(path), why=str(error)))
    if not asked.heard:
        raise NobodyAnswers(_nobody(control, asked.unreachable), asked.unreachable)
    return asked


def _sockets(control: Path | None) -> list[Path]:
    if control is not None:
        return [control]
    try:
        return paths.sockets()
    except OSError as error:
        raise NobodyAnswers(
            f"{error.filename} can't be read ({error.strerror}): ask as root, or as a member of its group"
        ) from None


def _nobody(control: Path | None, unreachable: list[Unreachable]) -> str:
    where = str(control or paths.runtime_directory())
    why = f" ({unreachable[0].why})" if unreachable else ""
    if any("denied" in one.why for one in unreachable):
        return f"no engine answers in {where}{why}: ask as root, or as a member of the socket's group"
    return (
        f"no engine answers in {where}{why}: is `carpsidecar run` running?"
        " `carpsidecar ucarp` has no control socket: send it USR1 or USR2"
    )


def _ask(path: Path, request: Request, timeout_s: float) -> Heard:
    """Raises: CannotAsk."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(path))
            pid, _ = peer_of(connection)
            connection.sendall(msgspec.json.encode(request) + b"\n")
            answer = _answers.decode(_read(connection))
        except TimeoutError:
            raise CannotAsk(f"no answer within {timeout_s:g} s") from None
        except ConnectionRefusedError:
            raise CannotAsk("nobody listens there any more") from None
        except OSError as error:
            # Python's own words for a path that is too long have no number.
            raise CannotAsk(error.strerror or str(error)) from None
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise CannotAsk("the answer can't be read: is it of another version?") from None
    return Heard(path, answer, pid)


def _read(connection: socket.socket) -> bytes:
    """Raises: CannotAsk, OSError."""
    answer = bytearray()
    while chunk := connection.recv(_CHUNK):
        answer += chunk
        if len(answer) > ANSWER_SIZE_MAX:
            raise CannotAsk("the answer has no end")
    if not answer:
        raise CannotAsk("it hung up without an answer")
    return bytes(answer)
