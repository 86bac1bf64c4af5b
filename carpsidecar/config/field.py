"""One setting: its name, its type with what bounds it, and the errors of what does not fit."""

from dataclasses import dataclass
from typing import Annotated, Any, get_args

import msgspec

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


def field(name: str, kind: Any, description: str, remedy: str, *, repeats: bool = False, **bounds: Any) -> Field:
    annotated = Annotated[kind, msgspec.Meta(description=description, **bounds)]
    return Field(name, annotated, description, remedy, repeats)
