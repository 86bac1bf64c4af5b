"""`carpsidecar config`: see what a configuration comes to, before it runs, and what it may hold."""

import json
import re
import sys
from collections.abc import Iterator, Sequence

from carpsidecar.cli.errors import complain
from carpsidecar.cli.flags import PRECEDENCE, add_settings, source_of
from carpsidecar.cli.parser import Parser, subcommand
from carpsidecar.config.schema import FILE_ONLY, GROUP_FIELDS
from carpsidecar.config.sources import Config, load
from carpsidecar.linux.capabilities import forbid_core_dumps

_USAGE = """\
usage: carpsidecar config check [OPTION...]
       carpsidecar config schema

  check   print what file, environment and flags come to, or what is wrong with them
  schema  print the JSON Schema of the file, for editors and validators

exit status: 0, or 2 where the configuration can't be used
example: carpsidecar config check --config /etc/carpsidecar.yaml"""

_CHECK_EPILOG = f"""\
{PRECEDENCE}  0    it can be used; warnings go to stderr
  2    it can't: the line on stderr says what, where, and what to do

example:
  carpsidecar config check --config /etc/carpsidecar.yaml
"""

_NOT_TEXT_IN_YAML = ("true", "false", "yes", "no", "on", "off", "null")


def main(argv: Sequence[str]) -> int:
    return subcommand(argv, "carpsidecar config", _USAGE, {"check": check, "schema": schema})


def check_parser() -> Parser:
    description = "Read the configuration as `carpsidecar run` would, and print it, without the secret."
    options = Parser(prog="carpsidecar config check", description=description, epilog=_CHECK_EPILOG)
    add_settings(options)
    return options


def check(argv: Sequence[str]) -> int:
    forbid_core_dumps()
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    config = load(*source_of(check_parser().read(argv)))
    for warning in [*config.warnings, *_missing_here(config)]:
        complain(f"warning: {warning}")
    for name, value in config.document.items():
        if not isinstance(value, list) or name not in FILE_ONLY:
            print(f"{name}: {_text(value)}")
            continue
        print(f"{name}:")
        for entry in value:
            lines = [f"{key}: {_text(content)}" for key, content in entry.items()]
            if name == "groups":
                lines += _comments(config, entry)
            print("  - " + "\n    ".join(lines))
    return 0


def _missing_here(config: Config) -> Iterator[str]:
    """What `run` would wait for, now and on this machine: perhaps it comes, perhaps it is a slip."""
    from carpsidecar.linux.netlink import Netlink
    from carpsidecar.linux.routes import interface_for

    netlink = Netlink()
    try:
        names = {link.name for link in netlink.links()}
        held = {own.interface.ip for own in netlink.addresses()}
        for group in config.groups:
            if group.interface is None and interface_for(netlink, group.addresses[0].ip) is None:
                yield f"interface: no network of this machine has {group.addresses[0].ip}: `run` waits for one"
            elif group.interface is not None and group.interface not in names:
                yield f"interface: {group.interface} is not there: `run` waits for it: see `ip link`"
            for source in group.sources:
                if source not in held:
                    yield f"source: {source} is no address of this machine: `run` waits for it"
    finally:
        netlink.close()


def schema(argv: Sequence[str]) -> int:
    from carpsidecar.config.json_schema import json_schema

    Parser(
        prog="carpsidecar config schema",
        description="Print the JSON Schema (2020-12) of the configuration file.",
        epilog="example:\n  carpsidecar config schema > carpsidecar.schema.json",
    ).read(argv)
    print(json.dumps(json_schema(), indent=2))
    return 0


def _text(value: object) -> str:
    """As YAML: a word as it is, the rest as JSON, which YAML includes."""
    if isinstance(value, str) and re.fullmatch("[a-z][-a-z0-9]*", value) and value not in _NOT_TEXT_IN_YAML:
        return value
    return json.dumps(value, ensure_ascii=False)


def _comments(config: Config, document: dict[str, object]) -> Iterator[str]:
    """What holds where nothing is given, and of the passphrase no more than its length."""
    unused = {"multicast"} if "peer" in document else set()
    for field in GROUP_FIELDS.values():
        if field.fallback and field.name not in document.keys() | unused:
            yield f"# {field.name}: {field.fallback}"
    [secret] = [group.passphrase.secret for group in config.groups if group.name == document["name"]]
    yield f"# passphrase: {len(secret)} bytes"
