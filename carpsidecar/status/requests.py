"""What goes over a control socket: a request a connection, one JSON line, and one JSON line back."""

from typing import Any, Literal

from msgspec import Struct

from carpsidecar.ipc.messages import Text
from carpsidecar.status.model import NodeStatus

REQUEST_SIZE_MAX = 4096
ANSWER_SIZE_MAX = 1 << 24

CommandName = Literal["step-down", "promote", "drain", "undrain"]


class Request(Struct, kw_only=True, frozen=True):
    type: Literal["status", "configuration"] | CommandName
    group: str | None = None
    """None: all of them."""
    reason: Text = ""


class GroupResult(Struct, kw_only=True, frozen=True):
    """What became of a command in one group."""

    group: str
    done: bool
    text: str


class Done(Struct, tag_field="type", tag="done", kw_only=True, frozen=True):
    results: list[GroupResult]


class Configured(Struct, tag_field="type", tag="configuration", kw_only=True, frozen=True):
    """What the engine runs with, as `ipc.messages.Configuration` has it."""

    document: dict[str, Any]


class Refused(Struct, tag_field="type", tag="error", kw_only=True, frozen=True):
    """The request can't be read, or is about what is not there."""

    text: str
    groups: list[str] | None = None
    """Those that are there, where an unknown one was given."""


Answer = NodeStatus | Configured | Done | Refused
