"""The status of all engines of this machine, and what the kernel has to say to it."""

import time
from collections.abc import Sequence
from pathlib import Path

from carpsidecar.status.client import Asked, NobodyAnswers, ask
from carpsidecar.status.exit_status import exit_status
from carpsidecar.status.kernel import with_kernel_view
from carpsidecar.status.model import NodeStatus, StatusDocument, Unreachable
from carpsidecar.status.requests import Refused, Request

_QUERY_AGAIN_AFTER_S = 0.1


class Nothing(Exception):
    """There is nothing to show: one line that says why, and what to do."""

    def __init__(self, text: str, unreachable: Sequence[Unreachable] = ()) -> None:
        super().__init__(text)
        self.unreachable = list(unreachable)


def query(group: str | None, control: str | None) -> StatusDocument:
    """Of one group, or of all; from one control socket, or from all there are.

    Raises:
        Nothing: nobody answers, or nobody has this group.
    """
    socket = Path(control) if control is not None else None
    found = _once(group, socket)
    if any(one.problems for engine in found.engines for one in engine.groups):
        # The engine and the kernel were not asked at one moment: between the two an address may have moved.
        time.sleep(_QUERY_AGAIN_AFTER_S)
        found = _once(group, socket)
    return found


def _once(group: str | None, socket: Path | None) -> StatusDocument:
    """Raises: Nothing."""
    try:
        asked = ask(Request(type="status", group=group), socket)
        answered = with_kernel_view([heard for heard in asked.heard if isinstance(heard.answer, NodeStatus)])
    except NobodyAnswers as error:
        raise Nothing(str(error), error.unreachable) from None
    except OSError as error:
        raise Nothing(f"the kernel does not tell its addresses: {error.strerror or error}") from None
    if not answered:
        raise Nothing(no_such_group(asked))
    unreachable = asked.unreachable
    return StatusDocument(exit_status=exit_status(answered, unreachable), engines=answered, unreachable=unreachable)


def no_such_group(asked: Asked) -> str:
    """What to say where no engine did as it was told."""
    refusals = [heard.answer for heard in asked.heard if isinstance(heard.answer, Refused)]
    there = [group for refusal in refusals for group in refusal.groups or ()]
    text = refusals[0].text if refusals else "the answer is none to this question: is it of another version?"
    return f"{text}: there is {', '.join(there)}" if there else text
