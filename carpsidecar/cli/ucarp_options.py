"""The options of ucarp 1.5.2: one table, and the reading of a command line as ucarp reads it.

What is read first counts first, as there: a bad value ends the reading before an unknown option behind it is seen.
"""

import os
import re
import socket
from collections.abc import Sequence
from getopt import GetoptError, gnu_getopt
from ipaddress import IPv4Address
from typing import NamedTuple

from msgspec import Struct, field

from carpsidecar.config.trust import changeable, changeable_commands, readable
from carpsidecar.protocol.packet import CARP_GROUP_IPV4

BAD_OPTION = 1
_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?)(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))")


class NumberError(Exception):
    """A text that does not begin with a number."""


class Option(NamedTuple):
    short: str
    long: str
    argument: str | None
    description: str
    shown: str = ""
    """The long spelling to show, where it is not the full one."""


OPTIONS = (
    Option("i", "interface", "IF", "network interface (default: the one that holds the source address)"),
    Option("s", "srcip", "IP", "this machine's own address, to advertise from"),
    Option("m", "mcastip", "IP", f"multicast group; also --mcast (default {CARP_GROUP_IPV4})", "mcast"),
    Option("v", "vhid", "ID", "virtual host id, from 1 to 255, the same on every machine"),
    Option("p", "pass", "PASS", "passphrase, up to 19 bytes; everybody who runs ps can read it"),
    Option("o", "passfile", "FILE", "file whose first line is the passphrase"),
    Option("P", "preempt", None, "take over from a master that is less preferred"),
    Option("n", "neutral", None, "do not run the down script at the start"),
    Option("a", "addr", "IP", "virtual address"),
    Option("h", "help", None, "print this help"),
    Option("b", "advbase", "S", "seconds between two advertisements, from 0 to 255 (default 1)"),
    Option("k", "advskew", "N", "1/256 s added to advbase, from 0 to 255; least is preferred (default 0)"),
    Option("u", "upscript", "FILE", "run FILE after becoming master"),
    Option("d", "downscript", "FILE", "run FILE after becoming backup"),
    Option("r", "deadratio", "N", "advbases without an advertisement until a takeover, 1 to 255 (default 3)"),
    Option("D", "debug", None, "say more"),
    Option("z", "shutdown", None, "run the down script at exit, unless backup"),
    Option("B", "daemonize", None, "run in the background, once everything is open"),
    Option("S", "ignoreifstate", None, "stay in the election while the link is down"),
    Option("M", "nomcast", None, "send in broadcasts instead of multicasts"),
    Option("f", "facility", "NAME", "syslog facility, or none for no syslog (default daemon)"),
    Option("x", "xparam", "VALUE", "a further argument for the scripts"),
)

# As syslog.h numbers them.
_NUMBERED = ("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp")
FACILITIES = {
    **{name: number for number, name in enumerate(_NUMBERED)},
    "security": 4,
    "mark": 24,
    **{f"local{index}": 16 + index for index in range(8)},
}

_MULTICAST = IPv4Address(CARP_GROUP_IPV4)
_SHORT = "".join(option.short + (":" if option.argument else "") for option in OPTIONS)
_LONG = [option.long + ("=" if option.argument else "") for option in OPTIONS]
_BY_NAME = {name: option.long for option in OPTIONS for name in (f"-{option.short}", f"--{option.long}")}


class OptionError(Exception):
    """An option that is bad or missing; one line that says which, and what to give."""


class UnknownOption(Exception):
    """An option that there is not, or without the value that it needs."""


class HelpWanted(Exception):
    """--help was given."""


class Options(Struct):
    """What the command line gave, with ucarp's defaults for the rest."""

    interface: str = ""
    source: IPv4Address | None = None
    multicast: IPv4Address = _MULTICAST
    vhid: int | None = None
    passphrase: bytes = b""
    preempt: bool = False
    neutral: bool = False
    address: IPv4Address | None = None
    advbase: int = 1
    advskew: int = 0
    up_script: str = ""
    down_script: str = ""
    dead_ratio: int = 3
    debug: bool = False
    run_down_script_at_exit: bool = False
    background: bool = False
    ignore_link: bool = False
    broadcast: bool = False
    facility: int | None = FACILITIES["daemon"]
    extra: str | None = None
    warnings: list[str] = field(default_factory=list)


def read(arguments: Sequence[str], options: Options) -> None:
    """Read the command line into the options, as far as it can be read.

    Raises:
        OptionError, UnknownOption, HelpWanted
    """
    found, rest, problem = _split(list(arguments))
    for name, value in found:
        _take(_BY_NAME[name], name, value, options)
    if problem:
        raise UnknownOption(problem)
    for text in rest:
        options.warnings.append(f"{text!r} is no option, and left out")
    _check(options)


def _split(arguments: list[str]) -> tuple[list[tuple[str, str]], list[str], str | None]:
    """The options in their order, what is none, and what stopped the reading before its end."""
    problem = None
    for end in range(len(arguments), -1, -1):
        try:
            found, rest = gnu_getopt(arguments[:end], _SHORT, _LONG)
        except GetoptError as error:
            problem = problem or str(error)
        else:
            return found, rest, problem
    raise AssertionError("an empty command line has no unknown option")


def _take(name: str, spelling: str, value: str, options: Options) -> None:
    match name:
        case "help":
            raise HelpWanted
        case "interface":
            options.interface = value
        case "srcip":
            options.source = _address(value, spelling)
        case "mcastip":
            options.multicast = _address(value, spelling)
        case "addr":
            options.address = _address(value, spelling)
        case "vhid":
            options.vhid = _number(value, spelling, options, 1, 255)
        case "advbase":
            options.advbase = _number(value, spelling, options, 0, 255)
        case "advskew":
            options.advskew = _number(value, spelling, options, 0, 255)
        case "deadratio":
            options.dead_ratio = _number(value, spelling, options, 1, 255, or_zero=True)
        case "pass":
            options.passphrase = os.fsencode(value)
            options.warnings.append(f"{spelling}: everybody who runs ps can read it: use -o (--passfile)")
        case "passfile":
            options.passphrase = _first_line(value, spelling, options)
        case "upscript":
            options.up_script = value
        case "downscript":
            options.down_script = value
        case "xparam":
            options.extra = value
        case "facility":
            _take_facility(value, spelling, options)
        case _:
            setattr(options, _SWITCHES[name], True)


_SWITCHES = {
    "preempt": "preempt",
    "neutral": "neutral",
    "debug": "debug",
    "shutdown": "run_down_script_at_exit",
    "daemonize": "background",
    "ignoreifstate": "ignore_link",
    "nomcast": "broadcast",
}


def _address(text: str, spelling: str) -> IPv4Address:
    try:
        return IPv4Address(socket.inet_pton(socket.AF_INET, text))
    except (OSError, ValueError):
        raise OptionError(f"{spelling}: {text!r} is no IPv4 address: give one such as 192.0.2.100") from None


def number(text: str) -> tuple[int, str]:
    """The number that the text begins with, and what follows it, as strtoul(text, &end, 0) reads it.

    Raises:
        NumberError: it begins with none.
    """
    found = _NUMBER.match(text)
    if not found:
        raise NumberError(text)
    sign, hexadecimal, octal, decimal = found.groups()
    # Cut where it is out of every range anyway: reading thousands of digits takes long.
    if hexadecimal:
        value = int(hexadecimal.lstrip("0")[:20] or "0", 16)
    elif octal:
        value = int(octal.lstrip("0")[:30] or "0", 8)
    else:
        value = int(decimal[:20])
    return (-value if sign == "-" else value), text[found.end() :]


def _number(text: str, spelling: str, options: Options, least: int, most: int, *, or_zero: bool = False) -> int:
    """The number. A zero that `or_zero` lets pass is left to the last check: a later option may replace it."""
    try:
        value, rest = number(text)
    except NumberError:
        raise OptionError(f"{spelling}: {text!r} is no number: give one from {least} to {most}") from None
    if not least <= value <= most and not (or_zero and value == 0):
        raise OptionError(f"{spelling}: {text!r} is out of range: give a number from {least} to {most}")
    if rest:
        options.warnings.append(f"{spelling}: {text!r} is read as {value}")
    return value


def _take_facility(text: str, spelling: str, options: Options) -> None:
    if text.lower() == "none":
        options.facility = None
    elif text.lower() in FACILITIES:
        options.facility = FACILITIES[text.lower()]
    else:
        options.warnings.append(f"{spelling}: there is no syslog facility {text!r}: give daemon, local0 or none")


def _first_line(path: str, spelling: str, options: Options) -> bytes:
    """The line as ucarp takes it: a carriage return or blanks at its end belong to the passphrase there too."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (a path with a zero byte, or none, is one more OSError or ValueError)
            line = file.readline(512)
            status = os.fstat(file.fileno())
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise OptionError(f"{spelling}: {path!r} can't be read ({why}): give a file with the passphrase") from None
    if not line:
        raise OptionError(f"{spelling}: {path!r} is empty: write the passphrase into its first line")
    problems = readable(path, status), changeable(path)
    options.warnings += [f"{spelling}: {problem}" for problem in problems if problem]
    return line.partition(b"\n")[0].partition(b"\0")[0]


def _check(options: Options) -> None:
    """What must be given, in the order in which ucarp asks for it."""
    if options.vhid is None:
        raise OptionError("no virtual host id is given: give -v (--vhid) a number from 1 to 255")
    if not options.passphrase:
        raise OptionError("no passphrase is given: give -o (--passfile) a file, or -p (--pass) the passphrase")
    if options.advbase == options.advskew == 0:
        raise OptionError("no time between advertisements: give -b (--advbase) or -k (--advskew) more than 0")
    if options.advbase == options.advskew == 255:
        raise OptionError("advbase and advskew 255 together say that a master leaves: give less of one")
    if not options.source or not int(options.source):
        raise OptionError("no source address is given: give -s (--srcip) this machine's own address")
    if not options.address or not int(options.address):
        raise OptionError("no virtual address is given: give -a (--addr) the address to share")
    if options.dead_ratio == 0:
        raise OptionError("a dead ratio of 0 lets no master live: give -r (--deadratio) a number from 1 to 255")
    for script in filter(None, (options.up_script, options.down_script)):
        options.warnings += changeable_commands([script])
    if not options.up_script:
        options.warnings.append("no up script is given (-u): nothing puts the address up on this machine")
    if not options.down_script:
        options.warnings.append("no down script is given (-d): nothing takes the address down again")
