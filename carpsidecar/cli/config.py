"""`carpsidecar config`: see what a configuration comes to, before it runs, and what it may hold."""

import json
import sys
from collections.abc import Iterator, Sequence

from msgspec.structs import asdict

from carpsidecar.cli.errors import MISUSED, complain
from carpsidecar.cli.flags import PRECEDENCE, add_settings, source_of
from carpsidecar.cli.parser import Parser
from carpsidecar.config.group import GroupConfig
from carpsidecar.config.sources import load
from carpsidecar.ipc.messages import ReporterSettings

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


def main(argv: Sequence[str]) -> int:
    command, *arguments = argv or [""]
    if command in ("-h", "--help"):
        print(_USAGE)
        return 0
    if command == "check":
        return check(arguments)
    if command == "schema":
        return schema(arguments)
    kind = "option" if command.startswith("-") else "command"
    what = f"unknown {kind} {command}" if command else "check or schema?"
    complain(f"{what}: see carpsidecar config --help", "carpsidecar config")
    return MISUSED


def check_parser() -> Parser:
    description = "Read the configuration as `carpsidecar run` would, and print it, without the secret."
    made = Parser(prog="carpsidecar config check", description=description, epilog=_CHECK_EPILOG)
    add_settings(made)
    return made


def check(argv: Sequence[str]) -> int:
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    config = load(*source_of(check_parser().read(argv)))
    for warning in config.warnings:
        complain(f"warning: {warning}")
    print(
        f"realtime: {json.dumps(config.realtime)}\nlog_format: {config.log_format}\nlog_level: {config.log_level}"
    )
    for line in _reporter_lines(config.reporter):
        print(line)
    print("groups:")
    for group in config.groups:
        for index, line in enumerate(_lines(group)):
            print(f"{'    ' if index else '  - '}{line}")
    return 0


def schema(argv: Sequence[str]) -> int:
    from carpsidecar.config.schema import json_schema

    Parser(
        prog="carpsidecar config schema",
        description="Print the JSON Schema (2020-12) of the configuration file.",
        epilog="example:\n  carpsidecar config schema > carpsidecar.schema.json",
    ).read(argv)
    print(json.dumps(json_schema(), indent=2))
    return 0


def _reporter_lines(settings: ReporterSettings | None) -> Iterator[str]:
    if settings is None:
        return
    if settings.http:
        yield f"http: {json.dumps(settings.http)}"
    if settings.kubernetes is not None:
        yield "kubernetes: true"
        for name, value in asdict(settings.kubernetes).items():
            if value:
                yield f"{name.replace('namespaces', 'namespace')}: {json.dumps(value)}"
    if settings.checks:
        yield "checks:"
    for check in settings.checks:
        content = {name: value for name, value in asdict(check).items() if value is not None}
        kind, target = content.pop("kind"), content.pop("target")
        yield f"  - {json.dumps({**content, kind: target if kind == 'command' else target[0]})}"


def _lines(group: GroupConfig) -> Iterator[str]:
    """The group in the file's own words, so that the output of a check is a configuration but for the secret."""

    def texts(values: Sequence[object]) -> str:
        return json.dumps([str(value) for value in values], ensure_ascii=False)

    yield f"name: {group.name}"
    yield f"vip: {texts(group.addresses)}"
    yield f"vhid: {group.vhid}"
    yield f"interface: {json.dumps(group.interface)}" if group.interface else "# interface: by the route to the vip"
    yield f"# passphrase: {len(group.passphrase.secret)} bytes"
    yield f"auth: {group.auth}"
    for name in ("advbase", "advskew", "dead_ratio", "preempt"):
        automatic = name == "advskew" and group.auto_advskew
        yield f"{name}: {'auto' if automatic else json.dumps(getattr(group.settings, name))}"
    if group.sources:
        yield f"source: {texts(group.sources)}"
    if group.destination.peers:
        yield f"peer: {texts(group.destination.peers)}"
    else:
        yield f"multicast: {texts(group.destination.multicast)}"
        yield f"broadcast: {json.dumps(group.destination.broadcast)}"
    if group.sync_group:
        yield f"sync_group: {group.sync_group}"
    for name in ("on_master", "on_backup", "on_fault"):
        if words := getattr(group.hooks, name):
            yield f"{name}: {texts(words)}"
    yield f"hook_timeout_s: {group.hooks.timeout_s:g}"
    yield f"ignore_link: {json.dumps(group.ignore_link)}"
