"""Where the passphrase comes from, and how it is read without being shown."""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from msgspec import Struct

from carpsidecar.config.schema import GROUP_FIELDS, ConfigError, Field, Given
from carpsidecar.config.trust import changeable, readable
from carpsidecar.protocol.auth import COMPATIBLE_PASSPHRASE_MAX

PASSPHRASE_FIELDS = ("passphrase_file", "passphrase_fd", "passphrase")

_READ_MAX = 1 << 16
_PASSPHRASES_MAX = 4
"""Each that is accepted costs a digest a packet."""


class Passphrase(Struct, frozen=True):
    """The bytes, which no log or traceback prints, and what deserves a warning about where they were."""

    secret: bytes
    warnings: tuple[str, ...] = ()
    file: str | None = None
    """Where it was read from, if it was a file."""
    previous: tuple[bytes, ...] = ()
    """Accepted as well, but what we send is not signed with these."""
    previous_file: str | None = None
    """Where some of them are, if it is there."""

    @property
    def secrets(self) -> tuple[bytes, ...]:
        return (self.secret, *self.previous)

    @property
    def files(self) -> list[str]:
        """What it is read from, as far as that is files."""
        return [file for file in (self.file, self.previous_file) if file is not None]

    def __repr__(self) -> str:
        return "Passphrase(...)"


def read_passphrase(given: Mapping[str, Given], auth: str) -> Passphrase:
    """Read it from the one place that is given.

    Raises:
        ConfigError: none or several are given, or what is there can't be used.
    """
    named = [name for name in PASSPHRASE_FIELDS if name in given]
    if not named:
        raise ConfigError(
            "passphrase: none is given: put it into a file and give --passphrase-file FILE"
            " (or CARP_PASSPHRASE_FILE, CARP_PASSPHRASE, --passphrase-fd N)"
        )
    if len(named) > 1:
        origins = " and ".join(given[name].origin for name in named)
        raise ConfigError(f"passphrase: given twice, by {origins}: leave one of them out")
    name = named[0]
    origin = given[name]
    value = GROUP_FIELDS[name].convert(origin)
    warnings: tuple[str, ...] = ()
    if name == "passphrase_file":
        text, warnings = _from_file(value, origin, GROUP_FIELDS[name])
    elif name == "passphrase_fd":
        text = _from_descriptor(value, origin.origin)
    else:
        try:
            text = os.fsencode(value)
        except UnicodeEncodeError:
            raise GROUP_FIELDS["passphrase"].error(origin) from None
        if origin.origin == "--passphrase":
            warnings = ("--passphrase: everybody who runs ps can read it: use --passphrase-file",)
    previous_file = None
    if "previous_passphrase_file" in given:
        previous_file, previous_text, more = _from_previous_file(given["previous_passphrase_file"])
        text, warnings = text + b"\n" + previous_text, warnings + more
    first, *previous = _lines(text, auth, origin)
    if any(line.endswith(b"\r") for line in (first, *previous)):
        warnings += (
            f"{origin.origin}: the line ends in CR LF, and CR counts, as with ucarp: drop it on all nodes",
        )
    file = str(Path(value).absolute()) if name == "passphrase_file" else None
    return Passphrase(first, warnings, file, tuple(previous), previous_file)


def _from_previous_file(given: Given) -> tuple[str, bytes, tuple[str, ...]]:
    """Its path, its content and what deserves a warning; no content where it is not there."""
    field = GROUP_FIELDS["previous_passphrase_file"]
    path = str(Path(field.convert(given)).absolute())
    return path, *_from_file(path, given, field, may_be_missing=True)


def _from_file(
    path: str, given: Given, field: Field, may_be_missing: bool = False
) -> tuple[bytes, tuple[str, ...]]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        if may_be_missing and isinstance(error, FileNotFoundError):
            return b"", ()
        why = getattr(error, "strerror", None) or "no path"
        raise field.error(given, f"can't be read ({why})") from None
    try:
        status = os.fstat(descriptor)
        text = _content(descriptor, f"{given.origin}: {path}")
    finally:
        os.close(descriptor)
    problems = [readable(path, status), changeable(path)]
    return text, tuple(f"{given.origin}: {problem}" for problem in problems if problem)


@cache
def _from_descriptor(descriptor: int, origin: str) -> bytes:
    """A descriptor can be read once, but several groups, and every reload, ask for its content."""
    text = _content(descriptor, f"{origin}: {descriptor}")
    os.set_inheritable(descriptor, False)
    return text


def _content(descriptor: int, where: str) -> bytes:
    text = b""
    try:
        while len(text) <= _READ_MAX and (more := os.read(descriptor, _READ_MAX)):
            text += more
    except OSError as error:
        raise ConfigError(f"{where}: can't be read ({error.strerror}): give what can") from None
    if len(text) > _READ_MAX:
        raise ConfigError(f"{where}: more than {_READ_MAX} bytes: give a passphrase on one line")
    return text


def _lines(text: bytes, auth: str, given: Given) -> list[bytes]:
    """One passphrase each; the first signs. Empty lines do not count."""
    lines = [line for line in text.split(b"\n") if line]
    if not lines:
        raise ConfigError(f"{given.origin}: the passphrase is empty: write one into it")
    if len(lines) > _PASSPHRASES_MAX:
        found = f"{given.origin}: {len(lines)} lines, each of which is a passphrase"
        raise ConfigError(f"{found}: give the one to sign with, then at most {_PASSPHRASES_MAX - 1} to accept")
    return [_checked(line, auth, given) for line in dict.fromkeys(lines)]


def _checked(text: bytes, auth: str, given: Given) -> bytes:
    if b"\0" in text:
        raise ConfigError(f"{given.origin}: the passphrase has a zero byte: give text")
    if auth == "carp" and len(text) > COMPATIBLE_PASSPHRASE_MAX:
        raise ConfigError(
            f"{given.origin}: the passphrase has {len(text)} bytes, and CARP takes at most"
            f" {COMPATIBLE_PASSPHRASE_MAX}: shorten it on all nodes, or set auth to hardened on all of them"
        )
    return text
