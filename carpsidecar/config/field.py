"""A setting as a struct in `schema` declares it: type, range, purpose, default, and the error of a bad value."""

import re
import shlex
from collections.abc import Container, Mapping
from types import NoneType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Meta, Struct

_SHOWN_MAX = 80
_SHELL_OPERATOR = re.compile(r"&&?|\|\|?|.*;|[0-9]*[<>].*")
"""An argument that means something else to a shell, where it stands without quotes."""


class ConfigError(Exception):
    """A setting that can't be used: where it stands, what it says, and what to do; one line, whatever is quoted."""

    def __init__(self, text: str) -> None:
        super().__init__("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text))


class Given(Struct, frozen=True):
    """A value as somebody gave it, and where, in that person's words: `--vhid`, `CARP_VHID`, `carp.yaml: vhid`."""

    value: Any
    origin: str


def setting(
    purpose: str, remedy: str = "", *, fallback: str = "", metavar: str = "", repeats: bool = False, **bounds: Any
) -> Meta:
    """What is to be known of a setting beside its type and its default.

    Args:
        remedy: what to give instead of a bad value; empty where type and bounds say it.
        fallback: what holds where nothing is given and the default is None.
        metavar: what stands for the value in the help; empty where the type says it.
        repeats: whether its flag may be given several times, and its variable holds a list.
    """
    description = f"{purpose} (default: {fallback})" if fallback else purpose
    extra = {"own_remedy": remedy, "fallback": fallback, "own_metavar": metavar, "repeats": repeats}
    return Meta(description=description, extra=extra, **bounds)


class Field(Struct, frozen=True):
    """One field of a struct in `schema`. `type` is without the None that stands for "not given"."""

    name: str
    type: Any
    default: Any
    meta: Meta
    fallback: str
    """What holds where nothing is given and the default is None, for people."""
    own_remedy: str
    own_metavar: str
    repeats: bool

    @property
    def kind(self) -> Any:
        return get_args(self.type)[0]

    @property
    def is_switch(self) -> bool:
        return self.kind is bool

    @property
    def choices(self) -> tuple[str, ...]:
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    @property
    def metavar(self) -> str:
        by_type = {int: "N", float: "SECONDS"}.get(self.kind, "TEXT")
        return self.own_metavar or "|".join(self.choices) or by_type

    @property
    def description(self) -> str:
        """What it is for, and what holds where it is not given."""
        if self.default in (None, NODEFAULT):
            return self.meta.description or ""
        default = f"{self.default:g}" if self.kind is float else str(self.default)
        return f"{self.meta.description} (default {default.lower() if self.is_switch else default})"

    @property
    def remedy(self) -> str:
        """What to give instead of a bad value."""
        if self.own_remedy:
            return self.own_remedy
        choices = ("true", "false") if self.is_switch else self.choices
        if choices:
            *others, last = choices
            return f"give {', '.join(others)} or {last}"
        if self.meta.gt is not None:
            return f"give a number above {self.meta.gt}, at most {self.meta.le}"
        return f"give a number from {self.meta.ge} to {self.meta.le}"

    def convert(self, given: Given) -> Any:
        """The value in the field's type.

        Raises:
            ConfigError: it does not fit.
        """
        value = given.value
        if isinstance(value, bool) and {"on", "off"} <= set(self.choices):
            value = "on" if value else "off"  # YAML takes the words for these
        try:
            return msgspec.convert(value, self.type, strict=False)
        except (msgspec.ValidationError, UnicodeEncodeError):
            raise self.error(given) from None

    def command(self, given: Given) -> tuple[str, ...]:
        """The arguments of a command line, as execve(2) takes them.

        Raises:
            ConfigError: it can't be split, or only a shell would understand it.
        """
        value = self.convert(given)
        if isinstance(value, str):
            try:
                unquoted = shlex.split(value, posix=False)
                arguments = shlex.split(value)
            except ValueError:
                raise self.error(given) from None
            if operator := next(filter(_SHELL_OPERATOR.fullmatch, unquoted), None):
                problem = f"has {operator}, and no shell runs it"
                raise self.error(given, problem, "give a script, or sh -c '...'")
        else:
            arguments = value
        if any("\0" in argument for argument in arguments):
            raise self.error(given, "has a zero byte")
        return tuple(arguments)

    def error(self, given: Given, problem: str = "can't be used", remedy: str = "") -> ConfigError:
        """For a value that the field can't take."""
        shown = "the value" if self.name == "passphrase" else show(given.value)
        return ConfigError(f"{given.origin}: {shown} {problem}: {remedy or self.remedy}")


def fields_of(struct: type[msgspec.Struct]) -> dict[str, Field]:
    """The settings that a struct declares, by name."""
    from msgspec.structs import fields

    found = {}
    for info in fields(struct):
        kind, meta = get_args(info.type)
        kinds = [one for one in get_args(kind) if one is not NoneType]
        if len(kinds) < len(get_args(kind)):
            kind = Union[tuple(kinds)]  # noqa: UP007 (of a tuple)
        found[info.encode_name] = Field(info.encode_name, Annotated[kind, meta], info.default, meta, **meta.extra)
    return found


def mapping(given: Given, allowed: Container[str]) -> dict[str, Given]:
    """The settings of a structure in the file, with where each stands. Raises: ConfigError."""
    if not isinstance(given.value, dict):
        raise ConfigError(f"{given.origin}: {show(given.value)} can't be used: give a mapping of its settings")
    for name in given.value:
        if name not in allowed:
            raise ConfigError(
                f"{given.origin}: there is no such setting as {show(name)}: see `carpsidecar config schema`"
            )
    return {
        name: Given(value, f"{given.origin}.{name}") for name, value in given.value.items() if value is not None
    }


def converted(fields: Mapping[str, Field], given: Mapping[str, Given]) -> dict[str, Any]:
    """Those that are given, each in its field's type. Raises: ConfigError."""
    return {name: field.convert(given[name]) for name, field in fields.items() if name in given}


def show(value: Any) -> str:
    """The value in an error: never long, and of a structure only its kind, since a passphrase may be in it."""
    if value is None or isinstance(value, str | int | float):
        text = repr(value)
        return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."
    if isinstance(value, dict):
        return "a mapping"
    return f"a {type(value).__name__}"
