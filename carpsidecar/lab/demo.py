"""The demo: three machines share an address, a client keeps asking it, and faults strike the one that holds it.

Everything is real but the machines: network namespaces, the daemon's own packets, the kernel's own addresses.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from carpsidecar.lab.commands import LabError
from carpsidecar.lab.holders import HolderWatch
from carpsidecar.lab.machine import Machine
from carpsidecar.lab.namespace import ensure_privileges
from carpsidecar.lab.network import Lab
from carpsidecar.lab.node import Node
from carpsidecar.lab.probe import Probe
from carpsidecar.lab.screen import Screen, coloured

VIRTUAL_ADDRESS = "10.99.0.100"

# The daemon's command line: of the node, its advskew and the file with the passphrase.
DaemonCommand = Callable[[Node, int, Path], Sequence[str]]

_ADVSKEWS = {"node1": 0, "node2": 50, "node3": 100}
_TAKEOVER_WITHIN_S = 10.0
# Long enough for a preferred node to take the address back.
_QUIET_S = 2.5


def carpsidecar_command(node: Node, advskew: int, passphrase_file: Path) -> Sequence[str]:
    """What runs on each machine."""
    return [
        *(sys.executable, "-m", "carpsidecar", "run"),
        *("--interface", "eth0", "--vhid", "42", "--vip", VIRTUAL_ADDRESS),
        *("--passphrase-file", str(passphrase_file), "--advskew", str(advskew)),
    ]


@dataclass(frozen=True)
class Step:
    title: str
    strike: Callable[[Machine], None]
    repair: Callable[[Machine], None]


STEPS = (
    Step("the machine loses its power", Machine.lose_power, Machine.regain_power),
    Step("the daemon is stopped (TERM)", Machine.stop_daemon, Machine.start_daemon),
    Step("the cable is pulled", Machine.lose_cable, Machine.regain_cable),
    Step("the daemon hangs (SIGSTOP)", Machine.hang_daemon, Machine.resume_daemon),
)


@dataclass(frozen=True)
class Outcome:
    step: Step
    struck: str
    successor: str
    outage_s: float
    two_holders_s: float
    failure: str = ""

    @property
    def two_holders(self) -> str:
        return f"{self.two_holders_s:.3f} s" if self.two_holders_s else "never"

    def __str__(self) -> str:
        what = f"{self.struck}: {self.step.title}"
        if self.failure:
            return f"{coloured('✗', 'red')} {what}: {self.failure}"
        return (
            f"{coloured('✓', 'green')} {what}: {self.successor} took over, "
            f"{self.outage_s:.3f} s without an answer, two holders: {self.two_holders}"
        )


class Demo:
    def __init__(self, machines: Sequence[Machine], watch: HolderWatch, probe: Probe) -> None:
        self._machines = {machine.name: machine for machine in machines}
        self._watch = watch
        self._probe = probe
        self._doing = "waiting for the first master"
        self.screen = Screen(self._rows, self._client_row)

    def run(self) -> list[Outcome]:
        self._settle()
        outcomes = []
        for number, step in enumerate(STEPS, 1):
            outcome = self._perform(step, f"{number}/{len(STEPS)}")
            self.screen.write(str(outcome))
            outcomes.append(outcome)
        return outcomes

    def _perform(self, step: Step, position: str) -> Outcome:
        struck = self._machines[self._watch.wait_for_exactly_one(_TAKEOVER_WITHIN_S)]
        self._doing = f"{position} {struck.name}: {step.title}"
        since = time.monotonic()
        successor = failure = ""
        step.strike(struck)
        try:
            others = self._machines.keys() - {struck.name}
            self._watch.wait_until(lambda holders: bool(holders & others), _TAKEOVER_WITHIN_S, "another holder")
            successor = min(self._watch.holders_now() & others, default="")
            self._probe.wait_until_answered_by(successor, _TAKEOVER_WITHIN_S)
        except TimeoutError as error:
            failure = str(error)
        try:
            step.repair(struck)
            self._settle()
        except TimeoutError as error:
            failure = failure or str(error)
        return Outcome(
            step,
            struck.name,
            successor,
            self._probe.longest_outage_s(since),
            self._watch.two_holders_s(since),
            failure,
        )

    def _settle(self) -> None:
        """Wait until one machine holds the address for good, and the client is answered."""
        self._watch.wait_for_exactly_one(_TAKEOVER_WITHIN_S)
        self._watch.wait_until_quiet(_QUIET_S, _TAKEOVER_WITHIN_S)
        holder = self._watch.wait_for_exactly_one(_TAKEOVER_WITHIN_S)
        self._probe.wait_until_answered_by(holder, _TAKEOVER_WITHIN_S)

    def _rows(self) -> list[str]:
        return [f"→ {self._doing}", *(self._row(machine) for machine in self._machines.values())]

    def _row(self, machine: Machine) -> str:
        holds = machine.name in self._watch.holders_now()
        lamp, colour = ("●", "green") if holds else ("○", "dim")
        state = "MASTER" if holds else "backup"
        if machine.trouble:
            lamp, colour = "✗", "red"
            state = f"{machine.trouble}, holds the address" if holds else machine.trouble
        name = f"{machine.name:7} {machine.node.address!s:12}"
        return f"    {coloured(lamp, colour)} {name} {coloured(state, colour)}"

    def _client_row(self) -> str:
        last = self._probe.last_answered
        if last is None or last.answered_at is None:
            return f"    {coloured('? client  no answer yet', 'yellow')}"
        silence_s = time.monotonic() - last.answered_at
        if silence_s > 0.05:
            return f"    {coloured(f'? client  no answer for {silence_s:.1f} s', 'red')}"
        return f"    {coloured('✓', 'green')} client  answered by {last.answered_by}"


def summary(outcomes: Sequence[Outcome]) -> str:
    rows = [("what happened", "to", "taken over by", "without answer", "two holders")]
    rows += [(o.step.title, o.struck, o.successor or "-", f"{o.outage_s:.3f} s", o.two_holders) for o in outcomes]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  " + "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([coloured(lines[0].rstrip(), "bold"), *(line.rstrip() for line in lines[1:])])


_EPILOG = "exit status: 0 each step ended with one holder and an answered client; 1 one did not; 130 on Ctrl-C"


def main(argv: Sequence[str], daemon: DaemonCommand = carpsidecar_command) -> int:
    """Exit status 0 when each step ended with one holder and an answered client, 1 when not, 130 on Ctrl-C."""
    argparse.ArgumentParser(prog="carpsidecar demo", description=__doc__, epilog=_EPILOG).parse_args(argv)
    ensure_privileges()
    try:
        outcomes = _play(daemon)
    except KeyboardInterrupt:
        return 130
    except (LabError, TimeoutError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print(f"\n{summary(outcomes)}")
    return int(any(outcome.failure for outcome in outcomes))


def _play(daemon: DaemonCommand) -> list[Outcome]:
    print(coloured(f"Three machines share {VIRTUAL_ADDRESS}; a client asks it every 2 ms who is there.\n", "bold"))
    with ExitStack() as stack:
        lab = stack.enter_context(Lab())
        passphrase_file = lab.directory / "passphrase"
        passphrase_file.write_text("secret\n")
        nodes = [lab.node(name) for name in _ADVSKEWS]
        watch = stack.enter_context(HolderWatch(nodes, VIRTUAL_ADDRESS))
        probe = stack.enter_context(Probe(lab.node("client"), VIRTUAL_ADDRESS))
        machines = [
            Machine(node, lambda node: daemon(node, _ADVSKEWS[node.name], passphrase_file)) for node in nodes
        ]
        demo = Demo(machines, watch, probe)
        try:
            with demo.screen:
                return demo.run()
        except TimeoutError:
            for machine in machines:
                if machine.daemon.returncode is not None:
                    print(
                        f"{machine.name}: {machine.daemon} has ended; its log:\n{machine.daemon.log}",
                        file=sys.stderr,
                    )
            raise
