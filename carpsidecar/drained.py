"""Which groups an operator drained on this machine: a file each, which outlives reporter, engine and machine.

The reporter writes and removes them; the engine reads one when a group starts, so that a drained node that starts
again does not take the address for a moment.
"""

from pathlib import Path

import msgspec

from carpsidecar import state_file
from carpsidecar.ipc.messages import TEXT_MAX, Text
from carpsidecar.protocol.timing import ADVSKEW_DEMOTED

CAUSE = "operator"
"""Of the demotion."""
DEMOTION = ADVSKEW_DEMOTED
NODE = ".node"
"""In the place of a group's name, which does not begin with a dot: the machine is drained, and so is every group of
Services' addresses that comes later."""

_FILE_MAX_BYTES = 4096


def folder() -> Path:
    return state_file.folder() / "drained"


def reason(group: str) -> str | None:
    """Why it is drained, as the operator gave it, which may be empty; None where it is not drained.

    Raises:
        OSError: there is something, and it is no file with a line of text. It is best taken for a drain: an address
            that stays away is better than one that comes unasked.
    """
    path = folder() / group
    data = state_file.read(path, _FILE_MAX_BYTES)
    if data is None:
        return None
    try:
        return msgspec.convert(data.decode().removesuffix("\n"), Text)
    except (UnicodeDecodeError, msgspec.ValidationError):
        raise OSError(f"{path} holds no line of at most {TEXT_MAX} printable characters") from None


def write(group: str, why: str) -> None:
    """
    Raises:
        OSError: it can't be written, and the drain holds until the engine's end only.
    """
    state_file.write(folder() / group, f"{why}\n".encode())


def remove(group: str) -> None:
    """
    Raises:
        OSError: it can't be removed, and drains the group again at the engine's next start.
    """
    state_file.remove(folder() / group)
