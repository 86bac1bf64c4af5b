"""A virtual machine: a network namespace with its interfaces, the programs started in it, and its faults."""

import itertools
import shutil
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from carpsidecar.lab.commands import ip_batch, run
from carpsidecar.lab.leftovers import kill_processes_in
from carpsidecar.lab.link import Link
from carpsidecar.lab.namespace import run_in
from carpsidecar.lab.process import Process
from carpsidecar.lab.switch import Switch, write_sysctl


class Node:
    """Made by `Lab.node`. A fault's `link` says which interface it strikes: 0 for eth0, 1 for eth1."""

    def __init__(
        self,
        *,
        name: str,
        ns: str,
        number: int,
        links: int,
        switch: Switch,
        directory: Path,
        mark: Callable[[str, str], None],
    ) -> None:
        self.name = name
        self.ns = ns
        self.links = [Link(switch, ns, name, number, segment) for segment in range(links)]
        self.processes: list[Process] = []
        self._directory = directory
        self._mark = mark
        self._logs = itertools.count(1)
        self._runtime = directory / f"{name}-run"
        self.environment = {
            "RUNTIME_DIRECTORY": str(self._runtime),
            "STATE_DIRECTORY": str(directory / f"{name}-state"),
        }
        """Of all that is started in it: where a machine has /run and /var/lib."""

    @property
    def address(self) -> IPv4Address:
        return self.links[0].address

    @property
    def address6(self) -> IPv6Address:
        return self.links[0].address6

    def create(self) -> None:
        ip_batch([f"netns add {self.ns}"])
        # Before there is an interface, so that even the link-local address needs no detection of duplicates.
        run_in(self.ns, _prepare_ipv6)
        ip_batch(["link set lo up"], namespace=self.ns)
        for link in self.links:
            link.create()

    def start(
        self, argv: Sequence[str], *, log: Path | None = None, env: Mapping[str, str] | None = None
    ) -> Process:
        """Start a program in the node; `env` is added to this process's environment and the node's own."""
        log_file = log or self._directory / f"{self.name}-{next(self._logs)}-{Path(argv[0]).name}.log"
        process = Process(self.ns, argv, log_file, {**self.environment, **(env or {})})
        self.processes.append(process)
        return process

    def run(self, argv: Sequence[str]) -> str:
        """Run a program in the node to its end and return what it printed."""
        return run(["ip", "netns", "exec", self.ns, *argv], env=self.environment)

    def shell(self, command: str) -> str:
        return self.run(["sh", "-c", command])

    def pull_cable(self, link: int = 0) -> None:
        """The interface loses its carrier."""
        self._mark(self.name, "pull_cable")
        self.links[link].pull_cable()

    def plug_cable(self, link: int = 0) -> None:
        self._mark(self.name, "plug_cable")
        self.links[link].plug_cable()

    def cut_off(self, link: int = 0) -> None:
        """The carrier stays, but the switch passes nothing in either direction."""
        self._mark(self.name, "cut_off")
        self.links[link].lose(incoming_percent=100, outgoing_percent=100)

    def drop_incoming(self, link: int = 0) -> None:
        """The node is heard but hears nothing."""
        self._mark(self.name, "drop_incoming")
        self.links[link].lose(incoming_percent=100)

    def drop_outgoing(self, link: int = 0) -> None:
        """The node hears but is not heard."""
        self._mark(self.name, "drop_outgoing")
        self.links[link].lose(outgoing_percent=100)

    def lose_fraction(self, percent: float, link: int = 0) -> None:
        """Each frame is lost with this chance, in either direction."""
        self._mark(self.name, f"lose_fraction {percent:g} %")
        self.links[link].lose(incoming_percent=percent, outgoing_percent=percent)

    def rejoin(self, link: int = 0) -> None:
        """The switch passes everything again: the end of every kind of loss."""
        self._mark(self.name, "rejoin")
        self.links[link].lose(incoming_percent=0, outgoing_percent=0)

    def delete_interface(self, link: int = 0) -> None:
        """The interface vanishes, with its addresses."""
        self._mark(self.name, "delete_interface")
        self.links[link].delete()

    def create_interface(self, link: int = 0) -> None:
        """The interface appears anew, with its own address and no other."""
        self._mark(self.name, "create_interface")
        self.links[link].create()

    def power_off(self) -> None:
        """The machine is lost: first nothing is heard of it any more, then all its processes are dead.

        Its interfaces go last, for a machine without power holds no address, and has none left when it comes back.
        """
        self._mark(self.name, "power_off")
        for link in self.links:
            link.lose(incoming_percent=100, outgoing_percent=100)
        kill_processes_in([self.ns])
        for process in self.processes:
            process.kill()
        for link in self.links:
            link.delete()
        shutil.rmtree(self._runtime, ignore_errors=True)

    def power_on(self) -> None:
        """A freshly booted machine: its own addresses, no processes."""
        self._mark(self.name, "power_on")
        for link in self.links:
            link.lose(incoming_percent=0, outgoing_percent=0)
            link.create()

    def __repr__(self) -> str:
        return f"<Node {self.name} {self.address} in {self.ns}>"


def _prepare_ipv6() -> None:
    for scope in ("all", "default"):
        for setting in ("accept_dad", "accept_ra", "disable_ipv6"):
            write_sysctl(f"ipv6/conf/{scope}/{setting}", 0)
