"""What the engine and the reporter tell each other, over one socket pair (`SOCK_SEQPACKET`: a message a packet).

The engine sends a `GroupSnapshot` on every change and a `Heartbeat` each second; the reporter sends demotions and
commands. Messages are JSON with a type and a version. One that can't be read is dropped and counted.
"""

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

VERSION = 1
MESSAGE_SIZE_MAX = 1 << 17

Role = Literal["init", "backup", "master", "fault"]


class GroupSnapshot(Struct, tag_field="type", tag="group", kw_only=True, frozen=True):
    """All that is known of one group, after a change. Times are seconds since the epoch."""

    version: int = VERSION
    group: str
    role: Role
    reason: str
    since_s: float
    interface: str
    vhid: int
    addresses: list[str]
    advbase: int
    advskew: int
    advskew_advertised: int
    demotions: dict[str, int]
    """What demotes, by cause."""
    master: str | None
    """The address that the master advertises from; our own where we are master, None where none is heard."""


class GroupCounters(Struct, kw_only=True, frozen=True):
    """Since the start of the engine."""

    advertisements_sent: int
    advertisements_failed: int
    advertisements_received: int
    transitions: dict[str, int]
    """By the role that was entered."""
    lease_renewals: int
    lease_misses: int
    addresses_put_back: int
    foreign_claims: int
    hooks: dict[str, int]
    """By result: ok, failed, timeout, skipped."""


class Heartbeat(Struct, tag_field="type", tag="heartbeat", kw_only=True, frozen=True):
    """The engine lives. Counters by group, and drops by interface and reason; of many, some in each of several."""

    version: int = VERSION
    sent_s: float
    counters: dict[str, GroupCounters]
    drops: dict[str, dict[str, int]]
    bad_messages: int


class GroupGone(Struct, tag_field="type", tag="gone", kw_only=True, frozen=True):
    """A group that a new configuration no longer has."""

    version: int = VERSION
    group: str


class SetDemotion(Struct, tag_field="type", tag="demotion", kw_only=True, frozen=True):
    """Demote by this much for this cause, every group or one; 0 takes the cause back.

    With `bow_out` a master hands over at once instead of only advertising more skew.
    """

    version: int = VERSION
    cause: Annotated[str, Meta(min_length=1, max_length=64)]
    amount: Annotated[int, Meta(ge=0, le=255)]
    group: str | None = None
    bow_out: bool = False


class StepBack(Struct, tag_field="type", tag="step_back", kw_only=True, frozen=True):
    """Hand over to a backup, once, every group or one."""

    version: int = VERSION
    group: str | None = None


ToReporter = GroupSnapshot | Heartbeat | GroupGone
ToEngine = SetDemotion | StepBack

_to_reporter: msgspec.json.Decoder[ToReporter] = msgspec.json.Decoder(ToReporter)
_to_engine: msgspec.json.Decoder[ToEngine] = msgspec.json.Decoder(ToEngine)
_encoder = msgspec.json.Encoder()


class BadMessage(Exception):
    """A message that is malformed, of another version, or too long."""


def encode(message: ToReporter | ToEngine) -> bytes:
    return _encoder.encode(message)


def decode_for_reporter(data: bytes) -> ToReporter:
    """Raises: BadMessage."""
    return _checked(_to_reporter, data)


def decode_for_engine(data: bytes) -> ToEngine:
    """Raises: BadMessage."""
    return _checked(_to_engine, data)


_T = TypeVar("_T", ToReporter, ToEngine)


def _checked(decoder: msgspec.json.Decoder[_T], data: bytes) -> _T:
    if len(data) > MESSAGE_SIZE_MAX:
        raise BadMessage(f"longer than {MESSAGE_SIZE_MAX} bytes")
    try:
        message = decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(str(error)) from None
    if message.version != VERSION:
        raise BadMessage(f"version {message.version}, not {VERSION}")
    return message
