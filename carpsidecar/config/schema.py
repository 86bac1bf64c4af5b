"""The one schema: what can be configured, what it must look like, and what to do when it does not.

Flags, environment and file carry the same names (`vip`, `--vip`, `CARP_VIP`), and all are checked against it.
"""

from dataclasses import dataclass
from types import GenericAlias
from typing import Annotated, Any, Literal, get_args

import msgspec

AuthMode = Literal["carp", "hardened"]
LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
Texts = str | list[str]


_SHOWN_MAX = 80


class ConfigError(Exception):
    """A setting that can't be used: where it stands, what it says, and what to do; one line, whatever is quoted."""

    def __init__(self, text: str) -> None:
        super().__init__("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text))


@dataclass(frozen=True, slots=True)
class Given:
    """A value as somebody gave it, and where, in that person's words: `--vhid`, `CARP_VHID`, `carp.yaml: vhid`."""

    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Field:
    """One setting: its name, its type with what bounds it, what it is for, and the remedy for a misfit."""

    name: str
    type: Any
    description: str
    remedy: str
    repeats: bool
    """Whether its flag may be given several times."""

    @property
    def is_switch(self) -> bool:
        return get_args(self.type)[0] is bool

    def convert(self, given: Given) -> Any:
        """The value in the field's type.

        Raises:
            ConfigError: it does not fit.
        """
        try:
            return msgspec.convert(given.value, self.type, strict=False)
        except (msgspec.ValidationError, UnicodeEncodeError):
            raise self.misfit(given) from None

    def misfit(self, given: Given, problem: str = "can't be used") -> ConfigError:
        """The error for a value that the field can't take."""
        shown = "the value" if self.name == "passphrase" else show(given.value)
        return ConfigError(f"{given.origin}: {shown} {problem}: {self.remedy}")


def show(value: Any) -> str:
    """The value in an error: never long, and of a structure only its kind, since a passphrase may be in it."""
    if value is None or isinstance(value, str | int | float):
        text = repr(value)
        return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."
    if isinstance(value, dict):
        return "a mapping"
    return f"a {type(value).__name__}"


def _field(name: str, kind: Any, description: str, remedy: str, *, repeats: bool = False, **bounds: Any) -> Field:
    annotated = Annotated[kind, msgspec.Meta(description=description, **bounds)]
    return Field(name, annotated, description, remedy, repeats)


_COMMAND = "give a command without shell syntax, or a list of its words"
_NAME = r"^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?(?!\n)$"
# What the kernel allows in a name: 15 bytes, no slash, colon or space.
_INTERFACE = r"^[!-.0-9;-~]{1,15}(?!\n)$"
_BOOL = "give true or false"

_GROUP = (
    _field(
        "vip",
        Texts,
        "virtual address; /32 or /128 unless a prefix is given",
        "give an IP address such as 192.0.2.100 or 2001:db8::100",
        repeats=True,
    ),
    _field(
        "interface",
        str,
        "network interface (default: the one of the route to the first vip)",
        "give the name of a network interface, as `ip link` shows it",
        pattern=_INTERFACE,
    ),
    _field(
        "vhid",
        int,
        "virtual host id, the same on every node (default: the first vip's last byte)",
        "give a number from 1 to 255",
        ge=1,
        le=255,
    ),
    _field(
        "passphrase_file",
        str,
        "file whose first line is the passphrase",
        "give the path of a file that only its owner can read",
        min_length=1,
    ),
    _field(
        "passphrase_fd",
        int,
        "open file descriptor to read the passphrase from",
        "give the number of an open descriptor",
        ge=0,
        le=2**31 - 1,
    ),
    _field(
        "passphrase",
        str,
        "the passphrase itself; a flag shows it to everybody who runs ps",
        "give text, in quotes where it looks like a number",
        min_length=1,
    ),
    _field(
        "auth",
        AuthMode,
        "carp: as ucarp and the BSDs; hardened: every field signed, replays refused, our own nodes only"
        " (default carp)",
        "give carp or hardened",
    ),
    _field(
        "advbase",
        int,
        "seconds between two advertisements (default 1)",
        "give a number from 0 to 254",
        ge=0,
        le=254,
    ),
    _field(
        "advskew",
        int,
        "1/256 s added to advbase; the node with the least is preferred (default 0)",
        "give a number from 0 to 254",
        ge=0,
        le=254,
    ),
    _field(
        "dead_ratio",
        int,
        "advbases without an advertisement after which a backup takes over (default 3)",
        "give a number from 1 to 255",
        ge=1,
        le=255,
    ),
    _field("preempt", bool, "take over from a master that is less preferred (default false)", _BOOL),
    _field(
        "source",
        Texts,
        "this node's address to advertise from, one a family (default: the interface's)",
        "give an address of this node on the interface",
        repeats=True,
    ),
    _field(
        "peer",
        Texts,
        "send to these addresses instead of the multicast group",
        "give the addresses of the other nodes",
        repeats=True,
    ),
    _field(
        "multicast",
        Texts,
        "multicast group, one a family (default 224.0.0.18 and ff02::12)",
        "give a multicast address such as 239.192.0.18",
        repeats=True,
    ),
    _field(
        "broadcast",
        bool,
        "send in Ethernet broadcasts, as ucarp --nomcast; IPv4 only (default false)",
        _BOOL,
    ),
    _field(
        "sync_group",
        str,
        "groups with one name here move together: trouble in one demotes them all",
        "give a short name in lower case",
        pattern=_NAME,
    ),
    _field("on_master", Texts, "command to run after this node became master", _COMMAND),
    _field("on_backup", Texts, "command to run after this node became backup", _COMMAND),
    _field("on_fault", Texts, "command to run when this node can't take part (default: on_backup)", _COMMAND),
    _field(
        "hook_timeout_s",
        float,
        "seconds after which a command is ended (default 60)",
        "give a number of seconds above zero",
        gt=0,
        le=86400,
    ),
    _field(
        "ignore_link",
        bool,
        "stay in the election while the link is down (default false)",
        _BOOL,
    ),
)

_NAMED_GROUP = (
    *_GROUP,
    _field(
        "name",
        str,
        "the group's name in logs, status and labels (default: vhid-N)",
        "give a short name in lower case",
        pattern=_NAME,
    ),
)

_PROCESS = (
    _field("log_format", LogFormat, "lines for people, or JSON objects (default text)", "give text or json"),
    _field(
        "log_level",
        LogLevel,
        "the least important lines to log (default info)",
        "give debug, info, warning or error",
    ),
)

GROUP_FIELDS = {field.name: field for field in _NAMED_GROUP}
PROCESS_FIELDS = {field.name: field for field in _PROCESS}


def json_schema() -> dict[str, Any]:
    """The schema of the file, as JSON Schema 2020-12."""

    def struct(name: str, fields: tuple[Any, ...]) -> Any:
        return msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)

    def members(fields: tuple[Field, ...]) -> tuple[Any, ...]:
        return tuple((field.name, field.type | None, None) for field in fields)

    group = struct("Group", members(_NAMED_GROUP))
    file = struct(
        "Configuration", (*members(_NAMED_GROUP + _PROCESS), ("groups", GenericAlias(list, (group,)) | None, None))
    )
    schema = msgspec.json.schema(file)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "carpsidecar", **schema}
