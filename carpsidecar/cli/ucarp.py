"""`carpsidecar ucarp`: a drop-in for ucarp 1.5.2, with its options, script arguments, output and exit statuses.

Source: ucarp 1.5.2 as Debian packages it, watched and read. Where we differ, carpsidecar-ucarp(8) says so.
"""

import logging
import sys
from collections.abc import Callable, Sequence
from ipaddress import IPv4Interface

from carpsidecar import logs
from carpsidecar.cli.engine import run_engine
from carpsidecar.cli.errors import complain, describe_bug, is_start_error
from carpsidecar.cli.ucarp_log import Line, Syslog, to_terminal
from carpsidecar.cli.ucarp_options import BAD_OPTION, OPTIONS, HelpWanted, OptionError, Options, UnknownOption, read
from carpsidecar.config.group import Destination, GroupConfig, Hooks
from carpsidecar.config.passphrase import Passphrase
from carpsidecar.config.schema import ConfigError
from carpsidecar.config.sources import Config
from carpsidecar.linux.capabilities import forbid_core_dumps
from carpsidecar.protocol.auth import COMPATIBLE_PASSPHRASE_MAX
from carpsidecar.protocol.effects import Settings

CAN_NOT_START = 2
# ucarp waits for its scripts for ever; a day is as long, and nothing waits for them here.
SCRIPT_TIMEOUT_S = 86400.0
SYSLOG_PATH = "/dev/log"


class StartRefused(Exception):
    """What keeps the options, though each is well-formed, from working on this machine."""


def usage() -> str:
    lines = ["usage: ucarp OPTION...", "", "Share an IP address with other machines, by CARP.", ""]
    for option in OPTIONS:
        value = f"={option.argument}" if option.argument else ""
        lines.append(f"  -{option.short}, {f'--{option.shown or option.long}{value}':<18} {option.description}")
    lines += [
        "",
        "Scripts are called with the arguments: interface, virtual address, and the value of --xparam.",
        "Signals: TERM, INT stop; USR1 logs a status line; USR2 hands over to a backup.",
        "Exit status: 0 stopped, or this help; 1 an option is bad or missing; 2 it can't start.",
        "",
        "Example:",
        "  ucarp -i eth0 -s 192.0.2.1 -v 42 -o /etc/carp.pass -a 192.0.2.100 -u /etc/vip-up.sh -d /etc/vip-down.sh",
        "",
        "The manual is carpsidecar-ucarp(8), which also lists where this program differs from ucarp 1.5.2.",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    options = Options()
    if not argv:
        print(usage())
        return 0
    forbid_core_dumps()
    try:
        read(argv, options)
        config = configure(options)
    except HelpWanted:
        print(usage())
        return 0
    except UnknownOption as problem:
        print(usage())
        complain(f"{problem}: see the help on the standard output", "ucarp")
        return 0
    except OptionError as error:
        return refuse(options, str(error), BAD_OPTION)
    except StartRefused as error:
        return refuse(options, str(error), CAN_NOT_START)
    if not options.background:
        return serve(options, config, None)

    from carpsidecar.cli.background import run_in_background

    return run_in_background(lambda listening: serve(options, config, listening), CAN_NOT_START)


def configure(options: Options) -> Config:
    """The configuration that the options stand for, on this machine.

    Raises:
        OptionError: no interface is given and none is found.
        StartRefused: they can't work here.
    """
    from carpsidecar.cli.ucarp_interface import find_interface, why_unusable

    assert options.vhid is not None
    assert options.address is not None
    assert options.source is not None
    if not options.interface:
        found = find_interface(options.source)
        if not found:
            raise OptionError("no interface is given and none is up: give -i (--interface) its name")
        options.interface = found
    if len(options.passphrase) > COMPATIBLE_PASSPHRASE_MAX:
        raise StartRefused(
            f"the passphrase has {len(options.passphrase)} bytes, and CARP takes at most"
            f" {COMPATIBLE_PASSPHRASE_MAX}: shorten it on all machines"
        )
    if not options.multicast.is_multicast and not options.broadcast:
        raise StartRefused(f"-m: {options.multicast} is no multicast group: give one such as 239.192.0.18")
    if problem := why_unusable(options.interface):
        raise StartRefused(problem)
    group = GroupConfig(
        name=f"vhid-{options.vhid}",
        addresses=(IPv4Interface(options.address),),
        vhid=options.vhid,
        passphrase=Passphrase(options.passphrase),
        destination=Destination(multicast=(options.multicast,), broadcast=options.broadcast),
        settings=Settings(options.advbase, options.advskew, options.dead_ratio, options.preempt),
        interface=options.interface,
        sources=(options.source,),
        hooks=_scripts(options),
        ignore_link=options.ignore_link,
        in_use="take",  # as ucarp does
        holds_addresses=False,
    )
    return Config(groups=(group,), log_level="debug" if options.debug else "info", warnings=tuple(options.warnings))


def _scripts(options: Options) -> Hooks:
    up = (options.up_script,) if options.up_script else ()
    down = (options.down_script,) if options.down_script else ()
    return Hooks(
        on_master=up,
        on_backup=down,
        on_fault=down,
        timeout_s=SCRIPT_TIMEOUT_S,
        extra=() if options.extra is None else (options.extra,),
        backup_at_start=not options.neutral,
        backup_at_stop=options.run_down_script_at_exit,
    )


def serve(options: Options, config: Config, listening: Callable[[], None] | None) -> int:
    """Run the engine, and turn what it raises into a line and an exit status of ucarp's."""
    writers = start_logs(options, config.log_level)
    try:
        return run_engine(config, listening=listening)
    except ConfigError as error:
        problem = str(error)
    except Exception as error:
        problem = str(error) if is_start_error(error) else describe_bug(error)
    finally:
        for writer in writers:
            writer.close()
    return refuse(options, problem, CAN_NOT_START)


def start_logs(options: Options, level: str) -> list[logs.Writer]:
    """A writer for each place, so that a terminal that is stopped does not hold up syslog."""
    if options.background:
        terminal = logs.start("text", level, lambda level, line: None)
    else:
        terminal = logs.start("text", level, to_terminal)
    terminal.setFormatter(Line(with_time=True))
    if options.facility is None:
        return [terminal]
    syslog = logs.Writer(Syslog(options.facility, SYSLOG_PATH))
    syslog.setFormatter(Line(with_time=False))
    logs.logger.addHandler(syslog)
    return [terminal, syslog]


def refuse(options: Options, problem: str, status: int) -> int:
    """Say why it does not start, on stderr and in syslog."""
    complain(problem, "ucarp")
    sys.stderr.flush()
    if options.facility is not None:
        syslog = Syslog(options.facility, SYSLOG_PATH)
        syslog(logging.ERROR, f"[ERROR] {problem}")
        syslog.close()
    return status
