"""The messages between engine and reporter, over one socket (`SOCK_SEQPACKET`: a message a packet).

The engine sends its `ReporterSettings` first, then a `GroupSnapshot` on every change, a `Notice` of what deserves
one, and a `Heartbeat` each second; where it only replaces the reporter, the settings of the next one come last. The
reporter sends commands, and gets one `Result` for each, after the snapshots of all that the command changed.
Messages are JSON with a type and a version. One that can't be read is dropped and counted.
"""

import time
from collections.abc import Hashable
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from carpsidecar.ipc.settings import VERSION, Configuration, ReporterSettings

MESSAGE_SIZE_MAX = 1 << 17
PEERS_MAX = 1024
HEARD_MAX = 16
"""Peers of a group that are reported."""
MEMBERS_MAX = 64
"""Members of a hardened group that are reported."""
TEXT_MAX = 200
SERVICES_MAX = 64
"""Services that share an address."""
SERVICE_ADDRESSES_MAX = 2000

_ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*(?!\n)$"
"""No control characters, line ends, or signs that turn the direction of what follows."""

Text = Annotated[str, Meta(max_length=TEXT_MAX, pattern=_ONE_LINE)]
"""A person's reason for a command, as logs and tables can show it."""
AddressText = Annotated[str, Meta(max_length=45, pattern=_ONE_LINE)]
ServiceName = Annotated[str, Meta(max_length=128, pattern=_ONE_LINE)]
"""Namespace, slash and name, each of 63 characters at most."""

Role = Literal["init", "backup", "master", "fault"]


class MemberView(Struct, kw_only=True, frozen=True):
    """Another node of a group in the hardened mode, by its last packet. Times are seconds since the epoch."""

    sources: list[str]
    """The addresses that it sends from: one of each family."""
    name: str
    version: str
    """Of its software."""
    role: str
    advbase: int
    advskew: int
    """With all its demotions."""
    since_s: float
    """When its role began."""
    heard_s: float
    key: int
    """With which of our passphrases it signs: 1 is the one that signs ours."""
    addresses: list[str]
    """Its group's; of very many, the first."""
    agrees: bool
    """Whether they are the same as ours."""


class GroupState(Struct, kw_only=True, frozen=True):
    """A group as it is since its last change. Times are seconds since the epoch."""

    group: str
    role: Role
    reason: str
    """Why it entered this role; or what keeps it from taking part."""
    since_s: float
    interface: str
    vhid: int
    addresses: list[str]
    advbase: int
    advskew: int
    advskew_advertised: int
    """With all demotions, 240 at most."""
    dead_ratio: int = 3
    """So many times advbase without an advertisement, and a backup takes over."""
    demotions: dict[str, int]
    """What adds to advskew, by cause: `operator` for a drain by hand, the name of a health check, and so on."""
    demotion_texts: dict[str, str] = {}
    """Why, in the words of whoever wanted it, by cause."""
    demoted_since_s: dict[str, float] = {}
    """When, by cause."""
    warnings: list[str] = []
    """What is to be known of a group that works all the same."""
    link: bool = True
    """Whether the interface is there and its link up, as the engine knows it."""
    fenced: bool = False
    """Whether nftables silences its addresses on this node the moment that they are not renewed."""
    fence_lacking: str = ""
    """Why it is not fenced though it should be."""
    sync_group: str | None = None
    """Groups of the same one move together."""
    master: str | None
    """The address that the master advertises from; our own where we are master, None where none is heard."""
    outranked_s: float | None = None
    """When, as master, it last heard another one that has to yield to it, after a time without such."""
    members: list[MemberView] = []
    """In the hardened mode: the other nodes, backups too; the last heard first."""
    drift: str = ""
    """What the configuration on disk has that can't be put into force while it runs."""
    agreement: str = ""
    """A keyed hash of what all members must agree upon; empty where nobody compares it."""
    services: list[str] = []
    """Of an address of Services of type LoadBalancer: their namespaces and names."""
    agrees_with: list[str] = []
    """The hashes of others that it understands as well: of the other passphrases and addresses that it accepts."""


class GroupSnapshot(GroupState, tag_field="type", tag="group", kw_only=True, frozen=True):
    """All that is known of one group, after a change."""

    version: int = VERSION


class PeerHeard(Struct, kw_only=True, frozen=True):
    """Another node of a group, by its last advertisement."""

    interval_s: float
    heard_s: float
    """When; seconds since the epoch."""
    authentic: bool
    """Whether its digest fitted: it has the same passphrase, addresses and mode."""


class GroupCounters(Struct, kw_only=True, frozen=True):
    """Since the start of the engine; and what changes with each advertisement, as of the heartbeat's `sent_s`."""

    advertisements_sent: int
    advertisements_failed: int
    advertisements_received: int
    transitions: dict[str, dict[str, int]]
    """By the role that was entered, and why: names of `protocol.effects.Reason`, in lower case."""
    master_advertised_s: float | None = None
    """When the master's last advertisement was heard, or sent where we are master; seconds since the epoch."""
    lease_renewals: int
    lease_misses: int
    fence_renewals: int = 0
    questions: int = 0
    """By ARP and NDP: who has an address of the group."""
    addresses_put_back: int
    foreign_claims: int
    hooks: dict[str, int]
    """By result: ok, failed, timeout, skipped."""
    lease_left_s: float | None = None
    """How long the kernel holds the addresses yet; None where this is no master, or does not hold them itself."""
    peers: dict[str, PeerHeard] = {}
    """By source address, at most 16."""
    members_heard_s: dict[str, float] = {}
    """Of those that `GroupState.members` lists, by first source: as its `heard_s`, and newer."""


class Heartbeat(Struct, tag_field="type", tag="heartbeat", kw_only=True, frozen=True):
    """The engine lives. Counters by group, and drops by interface and reason; of many, some in each of several."""

    version: int = VERSION
    sent_s: float
    counters: dict[str, GroupCounters]
    drops: dict[str, dict[str, int]]
    bad_messages: int
    refused_commands: dict[str, int] = {}
    """Of the reporter, that the configuration does not allow, by kind."""


class GroupGone(Struct, tag_field="type", tag="gone", kw_only=True, frozen=True):
    """A group that a new configuration no longer has."""

    version: int = VERSION
    group: str


class Notice(Struct, tag_field="type", tag="notice", kw_only=True, frozen=True):
    """Something that needs attention; the engine limits the rate."""

    version: int = VERSION
    kind: Literal["conflict", "bad_digest", "config_differs"]
    """A foreign machine claims an address of ours; an advertisement whose digest does not fit; a member whose group
    has other addresses."""
    group: str
    interface: str
    peer: str
    """Who did it: an IP address, or a MAC address for a conflict."""
    text: str
    at_s: float = msgspec.field(default_factory=time.time)
    """When; seconds since the epoch."""


class Result(Struct, tag_field="type", tag="result", kw_only=True, frozen=True):
    """What became of a command: each gets exactly one."""

    version: int = VERSION
    id: int
    """Of the command."""
    outcome: Literal["done", "refused", "superseded"]
    """Superseded: a newer command of the same subject came before this one was handled."""
    reason: str = ""
    """Why it was refused; or what could not be done of it."""


class BaseCommand(Struct, kw_only=True, frozen=True):
    version: int = VERSION
    id: Annotated[int, Meta(ge=0, lt=1 << 53)] = 0
    """Chosen by the sender, another one for each command; the result has it too."""


class SetDemotion(BaseCommand, tag_field="type", tag="demotion", kw_only=True, frozen=True):
    """Demote by this much for this cause, every group or one; 0 takes the cause back.

    With `bow_out` a master hands over at once instead of only advertising more skew.
    """

    cause: Annotated[str, Meta(min_length=1, max_length=64, pattern=_ONE_LINE)]
    amount: Annotated[int, Meta(ge=0, le=255)]
    group: str | None = None
    bow_out: bool = False
    text: Text = ""
    """Why, in the words of whoever wants it."""


class StepDown(BaseCommand, tag_field="type", tag="step_down", kw_only=True, frozen=True):
    """Hand over to a backup, once, every group or one."""

    group: str | None = None
    text: Text = ""


class Promote(BaseCommand, tag_field="type", tag="promote", kw_only=True, frozen=True):
    """Become master now, every group or one, and advertise faster than whoever is, for as long as it lasts."""

    group: str | None = None
    text: Text = ""


class Drain(BaseCommand, tag_field="type", tag="drain", kw_only=True, frozen=True):
    """Demote by as much as there is, every group or one, also after a restart; with `on` off, no longer."""

    group: str | None = None
    on: bool = True
    text: Text = ""


class SendHeartbeat(BaseCommand, tag_field="type", tag="beat", kw_only=True, frozen=True):
    """Send a heartbeat now, besides those that come by themselves; the engine limits the rate."""


class Withhold(BaseCommand, tag_field="type", tag="withhold", kw_only=True, frozen=True):
    """Take no part in the election, shown as this role and for this reason; an empty text ends it.

    A master goes on: who could take its address away like that could take the service away.
    """

    group: str
    role: Literal["backup", "fault"] = "fault"
    text: Text = ""


class SetPeers(BaseCommand, tag_field="type", tag="peers", kw_only=True, frozen=True):
    """Send to these addresses, in every group, instead of those that are configured."""

    peers: Annotated[list[str], Meta(max_length=PEERS_MAX)]


class SetAdvskew(BaseCommand, tag_field="type", tag="advskew", kw_only=True, frozen=True):
    """Use this advskew, in every group, instead of the one that is configured; None goes back to that."""

    advskew: Annotated[int, Meta(ge=0, le=254)] | None


class SetServiceAddress(BaseCommand, tag_field="type", tag="service_address", kw_only=True, frozen=True):
    """Take part for this address of Services of type LoadBalancer, in a group of its own; or, not eligible, do not.

    Refused where the configuration does not have the address in a pool, or the vhid in its range.
    """

    address: AddressText
    vhid: Annotated[int, Meta(ge=1, le=65535)]
    advskew: Annotated[int, Meta(ge=0, le=254)]
    advskew_returned: Annotated[int, Meta(ge=0, le=254)] | None = None
    """For an engine that starts again, until it is given another one; None: the same."""
    eligible: bool = True
    services: Annotated[list[ServiceName], Meta(min_length=1, max_length=SERVICES_MAX)]
    text: Text = ""
    """Why it is not eligible."""


class KeepServiceAddresses(BaseCommand, tag_field="type", tag="keep_service_addresses", kw_only=True, frozen=True):
    """Every address of Services that is not named here goes: its group bows out, and is no more."""

    addresses: Annotated[list[AddressText], Meta(max_length=SERVICE_ADDRESSES_MAX)]


class ProbeAddress(BaseCommand, tag_field="type", tag="probe_address", kw_only=True, frozen=True):
    """Ask the network who has this address of a pool. Done: nobody answers; refused: who does."""

    address: AddressText


Report = ReporterSettings | Configuration | GroupSnapshot | Heartbeat | GroupGone | Notice
ToReporter = Report | Result
GroupCommand = SetDemotion | StepDown | Promote | Drain | Withhold | SetPeers | SetAdvskew
"""What the groups are to do."""
ServiceCommand = SetServiceAddress | KeepServiceAddresses | ProbeAddress
"""About addresses of Services."""
ToEngine = GroupCommand | ServiceCommand | SendHeartbeat
Message = ToReporter | ToEngine


def subject(message: Message) -> Hashable | None:
    """Of two messages about one subject only the newer counts. None: it counts now, or not at all."""
    match message:
        case Notice():
            return None
        case GroupSnapshot() | GroupGone():
            return GroupSnapshot, message.group
        case Heartbeat():
            return Heartbeat, next(iter(message.counters), None)
        case Result():
            return Result, message.id
        case SetDemotion():
            return SetDemotion, message.cause, message.group
        case Withhold():
            return Withhold, message.group
        case StepDown() | Promote():
            return Promote, message.group
        case Drain():
            return Drain, message.group
        case SetServiceAddress() | ProbeAddress():
            return type(message), message.address
        case _:
            return type(message)


_to_reporter: msgspec.json.Decoder[ToReporter] = msgspec.json.Decoder(ToReporter)
_to_engine: msgspec.json.Decoder[ToEngine] = msgspec.json.Decoder(ToEngine)
_encoder = msgspec.json.Encoder()


class BadMessage(Exception):
    """A message that is malformed, of another version, or too long."""


def encode(message: Message) -> bytes:
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
