"""The command line: a sub-command a module, each imported only when it is asked for."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import PurePath

_COMMAND = "carpsidecar.cli.command"
"""The operator's commands: its main needs to know which."""

# Of each command: its module, whose main(arguments) returns the exit status, and what it is for.
COMMANDS = {
    "run": ("carpsidecar.cli.run", "take part in the election and hold the address while master"),
    "ucarp": ("carpsidecar.cli.ucarp", "the same with ucarp's options, scripts and output: a drop-in for it"),
    "status": ("carpsidecar.cli.status", "show who is master, since when and why, and whether the kernel agrees"),
    "step-down": (_COMMAND, "hand the address over, once, to a backup"),
    "promote": (_COMMAND, "become master now"),
    "drain": (_COMMAND, "keep the address away from this machine, also after a restart"),
    "undrain": (_COMMAND, "end a drain"),
    "doctor": ("carpsidecar.cli.doctor", "find what is wrong on this machine and on the wire, and how to mend it"),
    "capture": ("carpsidecar.cli.capture", "show CARP and VRRP on the wire, or in a file, a line a packet"),
    "config": ("carpsidecar.cli.config", "check a configuration, or print its schema"),
    "manifest": ("carpsidecar.cli.manifest", "print the static pod for the API server's own address"),
    "demo": ("carpsidecar.cli.demo", "watch three virtual machines hand an address over"),
    "version": ("carpsidecar.cli.version", "print the version"),
}

INTERNAL = {
    "kubectl": "carpsidecar.cli.kubectl",
    "release-services": "carpsidecar.cli.release_services",
    "reporter": "carpsidecar.cli.reporter",
    "one-master": "carpsidecar.cli.one_master",
    "service-test": "carpsidecar.cli.service_test",
    "unmark": "carpsidecar.cli.unmark",
}
"""What only our own processes, and the chart's hooks, start."""

NAMES = {"ucarp": ["ucarp"], "kubectl-carp": ["kubectl"]}
"""What the program is when it is started under another name than its own."""


def usage() -> str:
    lines = [
        "usage: carpsidecar COMMAND [OPTION...]",
        "",
        "Float an IP address over machines: CARP, wire-compatible with ucarp and the BSDs.",
        "",
        "commands:",
        *(f"  {name:<10} {purpose}" for name, (_, purpose) in COMMANDS.items()),
        "",
        "Each has its own help: carpsidecar COMMAND --help. Started under the name ucarp, it is that command;",
        "under the name kubectl-carp, a plugin of kubectl.",
        "",
        "exit status: 0 done or stopped, 1 failed, 2 bad command line or configuration, 130 interrupted",
        "example: carpsidecar run --vip 192.0.2.100 --passphrase-file /etc/carp.pass",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the arguments, or the program's own name, ask for, and return its exit status."""
    if argv is None:
        argv = sys.argv[1:]
        argv = [*NAMES.get(PurePath(sys.argv[0]).name, []), *argv]
    try:
        _open_standard_descriptors()
        status = _dispatch(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has left; the interpreter must not stumble over that once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except KeyboardInterrupt:
        return 130
    except SystemExit as done:  # argparse, after --help or an error
        return done.code if isinstance(done.code, int) else 1
    except Exception as error:
        from carpsidecar.cli.errors import explain

        return explain(error)
    return status


def _open_standard_descriptors() -> None:
    """Open /dev/null as those of 0, 1 and 2 that are closed: a socket of such a number would get log lines."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 (for as long as we run)


def _dispatch(argv: Sequence[str]) -> int:
    if not argv:
        print(usage(), file=sys.stderr)
        return 2
    name, *arguments = argv
    if name in ("-h", "--help"):
        print(usage())
        return 0
    if name in INTERNAL:
        return int(import_module(INTERNAL[name]).main(arguments))
    if name not in COMMANDS:
        kind = "option" if name.startswith("-") else "command"
        print(f"carpsidecar: unknown {kind} {name}: see carpsidecar --help", file=sys.stderr)
        return 2
    module = COMMANDS[name][0]
    command = import_module(module)
    status: int = command.main(arguments, name) if module == _COMMAND else command.main(arguments)
    return status
