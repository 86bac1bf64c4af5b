"""The status of all engines of this machine, compared with the kernel."""

import time
from collections.abc import Sequence
from pathlib import Path

from carpsidecar.status.client import NoEngine, Replies, send
from carpsidecar.status.exit_status import exit_status
from carpsidecar.status.kernel import with_kernel_view
from carpsidecar.status.model import NodeStatus, StatusDocument, Unreachable
from carpsidecar.status.requests import Refused, Request

_QUERY_AGAIN_AFTER_S = 0.1


class NoStatus(Exception):
    """There is nothing to show: one line that says why, and what to do."""

    def __init__(self, text: str, unreachable: Sequence[Unreachable] = ()) -> None:
        super().__init__(text)
        self.unreachable = list(unreachable)


def query(group: str | None, control: str | None) -> StatusDocument:
    """Of one group, or of all; from one control socket, or from all there are.

    Raises:
        NoStatus: no engine replies, or none has this group.
    """
    socket = Path(control) if control is not None else None
    found = _once(group, socket)
    if any(one.problems for engine in found.engines for one in engine.groups):
        # The engine and the kernel were not queried at one moment: between the two an address may have moved.
        time.sleep(_QUERY_AGAIN_AFTER_S)
        found = _once(group, socket)
    return found


def _once(group: str | None, socket: Path | None) -> StatusDocument:
    """Raises: NoStatus."""
    try:
        replies = send(Request(type="status", group=group), socket)
        answered = with_kernel_view([one.answer for one in replies.replies if isinstance(one.answer, NodeStatus)])
    except NoEngine as error:
        raise NoStatus(str(error), error.unreachable) from None
    except OSError as error:
        raise NoStatus(f"the kernel does not list its addresses: {error.strerror or error}") from None
    if not answered:
        raise NoStatus(no_such_group(replies))
    unreachable = replies.unreachable
    return StatusDocument(exit_status=exit_status(answered, unreachable), engines=answered, unreachable=unreachable)


def no_such_group(replies: Replies) -> str:
    """Why no engine did what was requested."""
    refusals = [reply.answer for reply in replies.replies if isinstance(reply.answer, Refused)]
    there = [group for refusal in refusals for group in refusal.groups or ()]
    text = refusals[0].text if refusals else "the answer is none to this question: is it of another version?"
    return f"{text}: there is {', '.join(there)}" if there else text
